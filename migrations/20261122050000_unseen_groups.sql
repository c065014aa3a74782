-- The groups of the stage that waits which nobody could see when it began: their members are asked once they are seen, and
-- nobody else is asked late.
alter table request add column unseen text[] not null default '{}';
create index request_unseen on request (id) where state = 'pending' and unseen <> '{}';
-- Who broke the glass for a run is looked up at every answer that comes late.
create index review_run on review (run);
