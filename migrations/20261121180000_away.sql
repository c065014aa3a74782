-- Since when the bot has been away from a room, and what it heard too late there.
--
-- room_heard: a row for each room of a platform that keeps a history. While the bot hears the room its row follows, every
-- few seconds; it stands still as soon as the bot does not. Whoever comes back reads the history from there on, with some
-- overlap, for the inbox is unique by what was said. missed_line: commands that were found too late to act, until the
-- room is told of them. The event that tells it, the end of the gap and the removal of these rows are one transaction.

create table room_heard (
    room text primary key,
    -- What was said before this is not asked for: the bot first came to the room then.
    known_from timestamptz not null,
    -- Everything that was said up to here is in the inbox.
    heard_until timestamptz not null check (heard_until >= known_from)
);

create table missed_line (
    line bigint primary key references inbox,
    room text not null,
    -- late: too old to act when it was found. edited: changed since, which voids it.
    why text not null check (why in ('late', 'edited'))
);
create index missed_line_room on missed_line (room, line);
