-- Passkeys, and the two kinds of one-time pages on which they are used.
--
--   invitation: open -> used | over            decision link: open -> used | over
--
-- Over is what is past its time, or was followed by another of the same person (and, for a link, of the same request).
-- Neither holds its secret: the hash of what stands in the address is all that is kept.

create table passkey (
    id bigint generated always as identity primary key,
    person text not null,
    -- What browsers call it. Never used again, also not after it was removed.
    credential bytea not null unique check (octet_length(credential) between 1 and 1023),
    -- As COSE has it.
    public_key bytea not null,
    -- How often it has signed, if it counts.
    sign_count bigint not null check (sign_count between 0 and 4294967295),
    may_be_copied boolean not null,
    -- What its person calls it.
    name text not null,
    added_at timestamptz not null,
    used_at timestamptz,
    removed_at timestamptz
);
create index passkey_person on passkey (person, id);

create table passkey_invitation (
    hash bytea primary key check (octet_length(hash) = 32),
    person text not null,
    made_at timestamptz not null,
    expires_at timestamptz not null check (expires_at >= made_at),
    -- The passkey that it led to.
    passkey bigint references passkey,
    used_at timestamptz,
    check ((passkey is null) = (used_at is null))
);
create index passkey_invitation_open on passkey_invitation (person) where used_at is null;

create table decision_link (
    id bigint generated always as identity primary key,
    hash bytea not null unique check (octet_length(hash) = 32),
    request bigint not null references request,
    digest bytea not null check (octet_length(digest) = 32),
    person text not null,
    account text not null,
    -- The line that was answered with it.
    line bigint not null references inbox,
    -- Why they agree, if that line said so.
    reason text,
    made_at timestamptz not null,
    expires_at timestamptz not null check (expires_at >= made_at),
    used_at timestamptz,
    passkey bigint references passkey,
    answer text check (answer in ('approve', 'deny')),
    -- When it was taken out of the message that told of it.
    forgotten_at timestamptz,
    check ((used_at is null) = (passkey is null) and (used_at is null) = (answer is null))
);
create index decision_link_open on decision_link (request, person) where used_at is null;
create index decision_link_told on decision_link (expires_at) where forgotten_at is null;
