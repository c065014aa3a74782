-- Plans, runs, attempts, requests, decisions, grants.
--
--   run       planned ------------------------------> running -> succeeded | failed
--             awaiting_approval -> approved --------> running -> stuck -> approved | failed | stopped
--             awaiting_approval -> denied | expired | withdrawn
--             planned | awaiting_approval | approved | stuck -> stopped;  running -> stopping -> stopped | stuck
--   attempt   started -> succeeded | failed | timed_out | unknown;  unknown -> judged
--   request   pending (stage n) -> granted | denied | expired | withdrawn
--   run_grant granted -> used | revoked | lapsed
--
-- Every state row has a version; every change names the state and version that it expects.

create table plan (
    digest bytea primary key check (length(digest) = 32),
    -- Made once, never re-serialised: what runs is parsed from these bytes.
    bytes bytea not null
);

create table run (
    id bigint generated always as identity primary key,
    version bigint not null default 1,
    state text not null check (state in ('planned', 'awaiting_approval', 'approved', 'running', 'stuck', 'stopping',
        'succeeded', 'failed', 'stopped', 'denied', 'expired', 'withdrawn')),
    -- The state's evidence: who, at which step, why.
    state_by text,
    state_step integer,
    state_why text,
    runbook text not null,
    system text not null,
    environment text not null,
    plan bytea not null references plan,
    room text not null,
    -- The thread that it was asked in; null: it has a root message of its own, which see in `posted`.
    thread text,
    requester text not null,
    requester_account text not null,
    -- The line that last moved it.
    cause bigint references inbox,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- I2
    holder bigint references worker,
    lease_until timestamptz,
    fence bigint not null default 0
);
create index run_claimable on run (id) where state in ('planned', 'approved', 'running', 'stopping');
create index run_room on run (room, id);
create index run_plan on run (plan, id);

create table attempt (
    run bigint not null references run,
    step integer not null,
    number integer not null,
    version bigint not null default 1,
    state text not null check (state in ('started', 'succeeded', 'failed', 'timed_out', 'unknown', 'judged')),
    -- The worker's fence when it started: nobody else may write its outcome.
    fence bigint not null,
    run_grant bigint,
    -- Who started it: where its processes are, even before the first of them is written down.
    worker bigint not null references worker,
    started_at timestamptz not null,
    ended_at timestamptz,
    exit_code integer,
    -- One line of what came of it, for people.
    summary text,
    output_sha256 bytea check (length(output_sha256) = 32),
    judged_by text,
    judged_worked boolean,
    -- The leader of its process group, once known.
    machine text,
    boot text,
    pid bigint,
    pid_started bigint,
    primary key (run, step, number)
);

create table attempt_output (
    run bigint not null,
    step integer not null,
    number integer not null,
    -- Bounded and redacted.
    bytes bytea not null,
    -- How many bytes were left out of the middle.
    left_out bigint not null,
    primary key (run, step, number),
    foreign key (run, step, number) references attempt
);

create table request (
    id bigint generated always as identity primary key,
    version bigint not null default 1,
    code text not null,
    run bigint not null references run,
    -- Null asks to start the run; a number asks for a further attempt of that step.
    retry_step integer,
    digest bytea not null references plan,
    -- Everybody who counts as having asked: none of them may agree (I7).
    requesters text[] not null,
    state text not null check (state in ('pending', 'granted', 'denied', 'expired', 'withdrawn')),
    stage integer not null default 0,
    state_by text,
    state_why text,
    room text not null,
    thread text,
    asked_at timestamptz not null,
    expires_at timestamptz not null,
    -- When the whole of it was confirmed posted: before that no word counts.
    posted_at timestamptz,
    -- Digest of what the catalog would make of it now, once somebody was told that it differs.
    differs bytea
);
create unique index request_code on request (code) where state = 'pending';
-- At most one request of a run waits: a second asking would outlive what it asked for.
create unique index request_run_pending on request (run) where state = 'pending';
create index request_pending on request (room, id) where state = 'pending';
create index request_run on request (run, id);

create table decision (
    request bigint not null references request,
    stage integer not null,
    person text not null,
    account text not null,
    verdict text not null check (verdict in ('approve', 'deny')),
    reason text,
    -- The line or button by which it was made.
    line bigint not null references inbox,
    at timestamptz not null,
    primary key (request, stage, person)
);

create table run_grant (
    id bigint generated always as identity primary key,
    version bigint not null default 1,
    run bigint not null references run,
    request bigint not null unique references request,
    digest bytea not null references plan,
    state text not null check (state in ('granted', 'used', 'revoked', 'lapsed')),
    granted_at timestamptz not null,
    expires_at timestamptz not null
);
create index run_grant_run on run_grant (run, id);

-- Which runs a line made or moved: whoever waits for the line's consequences waits for these.
create table line_run (
    line bigint not null references inbox,
    run bigint not null references run,
    primary key (line, run)
);
