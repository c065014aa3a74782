-- Who may change who may approve: versions of everything that decides who may ask, see and approve.
--
--   (begun, taken) ─▶ in_force ─▶ superseded
--                        ▲
--   proposed ────────────┘ countersigned, or accepted on the host
--      ├─▶ refused      by one who could have countersigned
--      ├─▶ expired      nobody answered in time
--      └─▶ superseded   the files say something else by now
--
-- One version is in force, and at most one waits. Whoever changes either locks the one in force first, so that two
-- processes that see the same files make one proposal, and two people who answer at once have one outcome.

create table access_version (
    id bigint generated always as identity primary key,
    version bigint not null default 1,
    state text not null check (state in ('proposed', 'in_force', 'superseded', 'refused', 'expired')),
    -- By which it is named while it waits; `null`: it never waited.
    code text,
    -- SHA-256 over what two of them are compared by.
    fingerprint bytea not null check (length(fingerprint) = 32),
    -- The whole of it, as JSON.
    snapshot bytea not null,
    -- Who is named as having written it: they do not countersign it.
    changed_by text[] not null default '{}',
    -- The version that was in force when it was made.
    base bigint references access_version,
    made_at timestamptz not null,
    expires_at timestamptz,
    -- Who refused it, and why.
    state_by text,
    state_why text,
    check ((code is null) = (expires_at is null)),
    check ((state = 'refused') = (state_by is not null)),
    check ((state_by is null) = (state_why is null))
);

create unique index access_version_in_force on access_version ((true)) where state = 'in_force';
create unique index access_version_proposed on access_version ((true)) where state = 'proposed';
create index access_version_code on access_version (code, id desc) where code is not null;
create index access_version_fingerprint on access_version (fingerprint, id desc);
