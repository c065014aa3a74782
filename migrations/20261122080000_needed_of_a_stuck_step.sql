-- One of these must be among those who agree, for what is asked of a stuck step was denied not long ago: the plan's bytes, which
-- say it of what starts, are those of the run and stay as they are. Empty: nobody in particular.
alter table request add column needs text[] not null default '{}';
