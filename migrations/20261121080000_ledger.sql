-- The ledger: what happened, in order, tamper-evident.
--
-- A transaction that changes a state inserts its events here too, with a row in `unsequenced` for each (I4). The
-- sequencer moves them, in one transaction, into `chain`: position n+1 hashes position n's hash, the event's columns and
-- the event's commitment, which is SHA-256(salt || body). Bodies stand beside their events so that one can be erased by
-- a later event without breaking the chain.
--
-- No foreign keys between these four: each row is written by the statement that writes its event, every event pays for a
-- key's check, and verification finds what a key would.
--
--   event --1:1-- event_body        event --1:1-- chain (once sequenced) or unsequenced (until then)

create table event (
    id bigint generated always as identity primary key,
    kind text not null,
    -- Version of the body's shape.
    schema smallint not null,
    at timestamptz not null,
    -- What it is about; each may be absent. `audience` names who may read it when that is not everybody in the room.
    system text,
    environment text,
    incident bigint,
    run bigint,
    audience text,
    -- The line or button that led to it.
    cause bigint,
    commitment bytea not null check (length(commitment) = 32)
);
create index event_run on event (run, id) where run is not null;
create index event_cause on event (cause) where cause is not null;

create table event_body (
    event bigint primary key,
    -- Null once erased.
    salt bytea check (length(salt) = 16),
    body bytea,
    -- The event that erased it: it says who, why and under which policy.
    erased_by bigint references event,
    check ((body is null) = (erased_by is not null) and (salt is null) = (body is null))
);

create table chain (
    position bigint primary key check (position > 0),
    event bigint not null unique,
    hash bytea not null check (length(hash) = 32)
);

create table unsequenced (
    event bigint primary key
);

-- How far each reader of the chain has come.
create table sink (
    name text primary key,
    position bigint not null default 0
);

-- Insert-only, for whoever is not the owner of the tables and for our own mistakes; the chain is for the rest.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is insert-only: % on % refused', tg_op, tg_table_name;
end
$$;
create trigger event_insert_only before update or delete or truncate on event
    for each statement execute function refuse_change();
create trigger chain_insert_only before update or delete or truncate on chain
    for each statement execute function refuse_change();
