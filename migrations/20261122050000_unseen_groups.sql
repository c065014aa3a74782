-- The groups of the stage that waits which nobody could see when it began: their members are asked once they are seen, and
-- nobody else is asked late.
alter table request add column unseen text[] not null default '{}';
