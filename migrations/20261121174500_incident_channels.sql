-- Rooms that are made for incidents.
--
--   wanted -> begun -> made -> invited, topic, pinned (each done or refused) -> archived;  archived -> another, if reopened
--
-- Wanted in the transaction that opens the incident. What is done on the platform is noted afterwards, under the row's
-- version; whatever a crash leaves done and unnoted is found there again.
create table incident_channel (
    incident bigint not null references incident,
    -- 1, and one more each time that the incident was reopened after its room had been archived.
    number integer not null check (number > 0),
    version bigint not null default 1,
    -- platform:workspace
    home text not null,
    -- As wished for; the platform may want another.
    name text not null,
    private boolean not null,
    archives boolean not null,
    wanted_at timestamptz not null,
    -- Set before the platform is asked for the first time: from then on there may be a room.
    begun_at timestamptz,
    -- platform:workspace:channel, and what it is called there; null until it is made.
    room text unique,
    called text,
    -- make, invite, topic, pin, archive
    done text[] not null default '{}',
    refused text[] not null default '{}',
    tries integer not null default 0,
    -- When it is looked at again; null: not before its incident changes.
    next_try_at timestamptz,
    primary key (incident, number),
    check ((room is null) = (called is null))
);
create index incident_channel_due on incident_channel (next_try_at) where next_try_at is not null;
