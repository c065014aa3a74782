-- Runs that are approved now and start later.

-- Not before this moment; null is at once. The plan's bytes say the same: this is what claiming looks at.
alter table run add column not_before timestamptz;
-- When everything that it was approved on was last seen to hold at its start.
alter table run add column cleared_at timestamptz;

create index run_later on run (not_before) where not_before is not null and state = 'approved';
