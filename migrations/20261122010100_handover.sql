-- What somebody hands over to somebody else: offered, and taken or not.

create table handover (
    id bigint generated always as identity primary key,
    version bigint not null default 1,
    giver text not null,
    receiver text not null,
    reason text,
    -- What was open when it was offered.
    requests bigint[] not null,
    runs bigint[] not null,
    pause boolean not null,
    room text not null,
    thread text,
    offered_at timestamptz not null,
    line bigint not null references inbox,
    state text not null default 'offered' check (state in ('offered', 'taken', 'lapsed')),
    taken_by text check ((taken_by is not null) = (state = 'taken')),
    ended_at timestamptz check ((ended_at is not null) = (state <> 'offered')),
    -- How often it was said again, and when it is looked at next.
    reminded integer not null default 0,
    remind_at timestamptz not null,
    check (giver <> receiver)
);
-- Somebody offers one at a time.
create unique index handover_open on handover (giver) where state = 'offered';
create index handover_due on handover (remind_at, id) where state = 'offered';

-- Who has taken a run over from whoever asked for it: what is told of it concerns them. Null: whoever asked.
alter table run add column handed_to text;
