-- Who is woken when nobody decides: from when a stage's steps are counted, when a request is looked at next, and the rings
-- that are on their way to the webhook.

-- From when the steps of its stage are counted: its beginning, and later by as long as somebody looked. Null: `stage_since`.
alter table request add column wake_from timestamptz;
-- When it is looked at next; null: nothing more is done for it.
alter table request add column wake_at timestamptz;
create index request_wake on request (wake_at, id) where state = 'pending' and wake_at is not null;
-- What waits already is looked at once, which finds out when its next step is.
update request set wake_at = coalesce(stage_since, asked_at) where state = 'pending' and knows_asked;

create table ring (
    id bigint generated always as identity primary key,
    request bigint not null references request,
    stage integer not null,
    people text[] not null,
    made_at timestamptz not null,
    -- Counted before each try: one that nobody saw the end of is a try.
    tries integer not null default 0,
    next_try_at timestamptz not null,
    -- `dropped`: the request no longer waited.
    state text not null default 'waiting' check (state in ('waiting', 'rung', 'failed', 'dropped')),
    -- Why the last try did not reach anybody.
    why text
);
create index ring_waiting on ring (next_try_at, id) where state = 'waiting';
