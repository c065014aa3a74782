-- An approval that covers several runs of the same plan until a time. `used` counts the first run too; the database itself
-- lets nobody count beyond `runs`.
create table cover (
    request bigint primary key references request,
    digest bytea not null references plan,
    runs integer not null check (runs > 1),
    used integer not null default 1 check (used between 1 and runs),
    until timestamptz not null,
    ended_by text,
    ended_at timestamptz,
    check ((ended_by is null) = (ended_at is null))
);
create index cover_of_plan on cover (digest, until) where ended_at is null;

-- The approval under which a grant was given without asking again, and which run under it that is.
alter table run_grant add column under bigint references cover;
alter table run_grant add column under_number integer;
alter table run_grant add constraint run_grant_under check ((under is null) = (under_number is null));
alter table run_grant add constraint run_grant_under_once unique (under, under_number);
