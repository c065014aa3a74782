-- Who works, and who holds what until when.
--
-- A lease has a fencing number that grows with every change of holder; every write made under it names the number (I2).

create table worker (
    id bigint generated always as identity primary key,
    -- The process: a successor that proves it dead takes its leases at once.
    machine text not null,
    boot text not null,
    pid bigint not null,
    pid_started bigint not null,
    began_at timestamptz not null,
    ended_at timestamptz
);

-- Things of which at most one worker is in charge: the sequencer, a sink, a channel's sender.
create table lease (
    name text primary key,
    holder bigint references worker,
    fence bigint not null default 0,
    until timestamptz not null
);
