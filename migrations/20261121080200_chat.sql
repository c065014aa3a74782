-- What was said to the bot and what it says.
--
-- inbox: unique by what was said, not by its delivery (I6). Inserted by the transaction of its effect, so a line acts
-- exactly once. outbox: an answer stands in the transaction of the line that it answers; an echo is made by the room's
-- sink from a ledger position. Both are one queue, ordered per room, unique by (origin, part, room).

create table inbox (
    id bigint generated always as identity primary key,
    -- platform:workspace:channel
    room text not null,
    -- line:ID, edit:ID:REVISION or press:ID
    key text not null,
    thread text,
    account text not null,
    person text,
    said_at timestamptz not null,
    received_at timestamptz not null,
    -- Redacted; null for a deletion.
    text text,
    -- talk: not for the bot. answered, refused: what became of it. recorded: an edit, a stale line.
    outcome text not null check (outcome in ('talk', 'answered', 'refused', 'recorded')),
    unique (room, key)
);

create table outbox (
    id bigint generated always as identity primary key,
    -- Version of the shape of `message`.
    schema smallint not null,
    room text not null,
    -- Known thread, or the subject whose root message starts it.
    thread text,
    thread_of text,
    -- line:INBOX or event:POSITION
    origin text not null,
    part integer not null,
    -- The line or button that led to it, for whoever waits for its consequences.
    cause bigint references inbox,
    -- What this message is for its subject: `run:12` + `root`, `request`, `progress`. A later row with the same pair and
    -- `edits` set changes that message instead of posting another.
    subject text,
    role text,
    edits boolean not null,
    message text not null,
    created_at timestamptz not null,
    tries integer not null default 0,
    next_try_at timestamptz not null,
    sent_at timestamptz,
    platform_message text,
    -- Given up, with the reason: the platform refused it for good.
    failed text,
    unique (origin, part, room)
);
create index outbox_unsent on outbox (room, id) where sent_at is null and failed is null;
create index outbox_cause on outbox (cause, id);
create index outbox_room on outbox (room, id);

-- The messages that a run or request has: where to edit, where its thread hangs.
create table posted (
    subject text not null,
    role text not null,
    room text not null,
    platform_message text not null,
    primary key (subject, role, room)
);
