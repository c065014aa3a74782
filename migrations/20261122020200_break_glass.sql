-- A run that was started without the agreement that its policy wants, because somebody said that it cannot wait, and what
-- others say of that afterwards. One row for each such request: owed -> overdue -> done, owed -> done.
create table review (
    request bigint primary key references request,
    version bigint not null default 1,
    run bigint not null references run,
    -- Who broke the glass, by which account and line, known by what, when and why.
    by text not null,
    account text not null,
    proof text not null check (proof in ('chat', 'passkey')),
    credential text check ((credential is not null) = (proof = 'passkey')),
    line bigint not null references inbox,
    reason text not null check (reason <> ''),
    at timestamptz not null,
    due_at timestamptz not null,
    state text not null check (state in ('owed', 'overdue', 'done')),
    -- When the room was told last that it is overdue.
    told_at timestamptz,
    reviewer text,
    verdict text check (verdict in ('fine', 'not_fine')),
    words text,
    reviewed_at timestamptz,
    check ((state = 'done') = (reviewer is not null) and (reviewer is null) = (verdict is null)
        and (reviewer is null) = (words is null) and (reviewer is null) = (reviewed_at is null))
);
create index review_owed on review (due_at) where state <> 'done';
