-- Grants are signed.
--
--   signing_key: in use -> retired
--
-- A key signs from the moment that its row is committed until its row says that it is retired; whoever signs holds the row
-- for share until the grant is committed, so a retirement comes before or after a grant, never in between. The private
-- halves are in no database. Columns of `run_grant` are null for grants of before: such a grant lets nothing start any more.
create table signing_key (
    public bytea primary key check (octet_length(public) = 32),
    -- The host of the process that made it.
    host text not null,
    added_at timestamptz not null,
    added_by text not null,
    -- Not before any grant that it signed.
    retired_at timestamptz,
    retired_by text,
    retired_why text,
    check ((retired_at is null) = (retired_by is null) and (retired_at is null) = (retired_why is null))
);

alter table run_grant
    add column signed_by bytea references signing_key,
    add column statement bytea,
    add column signature bytea,
    add constraint run_grant_signed
        check ((signed_by is null) = (statement is null) and (signed_by is null) = (signature is null));
-- Those of before that are still in force: counted at each start, and soon none.
create index run_grant_unsigned on run_grant (expires_at) where state = 'granted' and signed_by is null;
