-- Approvals of several stages: who was asked and why, answers that can be taken back or given for another, requests that are
-- sent back or take the place of an older one, the latest start of a grant. Rows of before read as they did.

alter table request drop constraint request_state_check;
alter table request add constraint request_state_check check (state in
    ('pending', 'granted', 'denied', 'expired', 'withdrawn', 'changes_requested', 'superseded'));
-- The request that took its place.
alter table request add column superseded_by bigint references request;
-- Whether `asked` says who was asked: not for requests that an older release made.
alter table request add column knows_asked boolean not null default false;
-- When its stage began; null: when it was asked.
alter table request add column stage_since timestamptz;
-- How many reminders, rings and further askings of its stage have been done.
alter table request add column woken integer not null default 0;
-- Who looks at it, and until when nobody is woken for that.
alter table request add column looking_by text;
alter table request add column looking_until timestamptz;

create table asked (
    request bigint not null references request,
    stage integer not null,
    person text not null,
    -- `stage`, `needed`, `escalation:N`, `delegate:PERSON`
    because text not null,
    at timestamptz not null,
    primary key (request, stage, person, because)
);

create table delegation (
    id bigint generated always as identity primary key,
    version bigint not null default 1,
    giver text not null,
    receiver text not null,
    since timestamptz not null,
    until timestamptz not null,
    -- When it was taken back before its time.
    ended_at timestamptz,
    line bigint not null references inbox,
    check (giver <> receiver and since < until)
);
create index delegation_giver on delegation (giver, until) where ended_at is null;

-- One person may answer a stage again once they have taken their answer back: a row is named by the line that gave it.
alter table decision drop constraint decision_pkey;
alter table decision add primary key (request, stage, person, line);
alter table decision add column on_behalf_of text;
alter table decision add column proof text not null default 'chat' check (proof in ('chat', 'passkey'));
alter table decision add column credential text check ((credential is not null) = (proof = 'passkey'));
alter table decision add column taken_back_at timestamptz;
alter table decision add column taken_back_line bigint references inbox;
create unique index decision_stands on decision (request, stage, person) where taken_back_at is null;

-- The latest start; null: as long as it lasts.
alter table run_grant add column start_by timestamptz;
