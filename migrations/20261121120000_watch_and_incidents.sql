-- What is watched, what is wrong, what starts by itself.
--
--   check_state   hard: unknown to us (null) -> ok | warning | critical | unknown; soft results count towards the next hard one
--   incident      open -> mitigated -> resolved;  mitigated -> open (failed again);  resolved -> open (reopened)
--   brake_state   armed -> held -> armed
--
-- Every state row has a version; every change names the version that it expects.

create table check_state (
    system text not null,
    service text not null,
    check_name text not null,
    version bigint not null default 1,
    -- What is certain; null until the first certain result.
    hard text check (hard in ('ok', 'warning', 'critical', 'unknown')),
    -- When the first of the results that made it certain came.
    hard_since timestamptz,
    -- What the newest result said, and how many in a row have said so.
    soft text not null check (soft in ('ok', 'warning', 'critical', 'unknown')),
    soft_since timestamptz not null,
    soft_count integer not null check (soft_count > 0),
    -- The newest result: when it was asked for and came, and its first line, redacted.
    asked_at timestamptz not null,
    detail text not null,
    -- When a result was last ok, if ever.
    ok_at timestamptz,
    -- When it has turned for certain, newest last; no more than flapping looks at.
    turns timestamptz[] not null default '{}',
    primary key (system, service, check_name)
);

create table incident (
    id bigint generated always as identity primary key,
    version bigint not null default 1,
    state text not null check (state in ('open', 'mitigated', 'resolved')),
    system text not null,
    environment text not null,
    -- Null: a person opened it and named no service.
    service text,
    title text not null,
    room text not null,
    opened_at timestamptz not null,
    -- The person who opened it; null: a check did.
    opened_by text,
    -- When its service last failed: at its opening or at a recurrence.
    failed_at timestamptz not null,
    acknowledged_by text,
    acknowledged_at timestamptz,
    mitigated_at timestamptz,
    resolved_by text,
    resolved_at timestamptz,
    resolved_why text,
    -- The line that opened it.
    cause bigint references inbox
);
-- A failure of a service is one incident until it is resolved.
create unique index incident_of_service on incident (system, service) where state <> 'resolved' and service is not null;
create index incident_room on incident (room, id);
create index incident_unresolved on incident (system) where state <> 'resolved';

-- Which incident a run belongs to, and the trigger that asked for it, if no person did.
alter table run add column incident bigint references incident;
alter table run add column trigger text;
create index run_incident on run (incident, id) where incident is not null;
create index run_trigger on run (trigger, id) where trigger is not null;
-- Whether something is under way for a service, or has just ended.
create index run_of_system on run (system, id);
create index run_open on run (system)
    where state in ('planned', 'awaiting_approval', 'approved', 'running', 'stuck', 'stopping');

-- A trigger's brakes, for one service.
create table brake_state (
    trigger text not null,
    service text not null,
    version bigint not null default 1,
    -- What holds it until a person says `resume`; null: nothing.
    held_by text check (held_by in ('at_most', 'flapping', 'no_effect')),
    held_since timestamptz,
    held_why text,
    -- From when on a failure that was put off (cooldown, busy, paused) is looked at again.
    again_at timestamptz,
    -- When the window of `at_most` and the look at effects begin: the last `resume`.
    counted_from timestamptz,
    primary key (trigger, service)
);

-- What a trigger did, each time that no brake held it: what its brakes count.
create table firing (
    id bigint generated always as identity primary key,
    trigger text not null,
    service text not null,
    at timestamptz not null,
    -- Null: in mode `shadow` nothing was done.
    run bigint references run
);
create index firing_of on firing (trigger, service, id);

-- One row: an automatic start locks it for share, `pause` and `resume` change it (I1, I12).
create table automation (
    one boolean primary key default true check (one),
    version bigint not null default 1,
    paused boolean not null default false,
    paused_by text,
    paused_at timestamptz,
    paused_why text
);
insert into automation default values;

-- An incident's own events, for its timeline.
create index event_incident on event (incident, id) where incident is not null;
