-- What a request about a stuck step wants. Null: to start, or another attempt of `retry_step`.
alter table request add column wanted text check (wanted in ('skip', 'judge_worked', 'judge_failed'));
-- Whose words it is, and why.
alter table request add column wanted_by text;
alter table request add column wanted_why text;
alter table request add constraint request_wanted_whole
    check ((wanted is null) = (wanted_why is null) and (wanted is null) = (wanted_by is null) and (wanted is null or retry_step is not null));
-- Whoever grants such a request says that it was carried out with it. A release that does not know of it cannot: it would
-- try the step again.
alter table request add column carried_out boolean not null default false;
alter table request add constraint request_wanted_carried_out
    check (wanted is null or state <> 'granted' or carried_out);

-- A step that is left out: `judged_by` says who wanted that.
alter table attempt drop constraint attempt_state_check;
alter table attempt add constraint attempt_state_check check (state in
    ('started', 'succeeded', 'failed', 'timed_out', 'unknown', 'judged', 'skipped'));
