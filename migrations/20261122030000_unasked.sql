-- Whether a grant was given because its policy lets whoever asked start so many runs without anybody's answer: what counts them.
alter table run_grant add column unasked boolean not null default false;
create index run_grant_unasked on run_grant (granted_at) where unasked;
