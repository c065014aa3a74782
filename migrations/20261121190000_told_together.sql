-- Messages that are told as one when their room is behind, and until when somebody else may have acted under a lease.

-- The first of the messages that are told as one, in each of them, also in the first. Noted before it is sent and by
-- whoever holds the room's lease, so that whoever comes after a crash says the same or finds it (I5). Cleared when the
-- platform refuses the whole; then each is told by itself.
alter table outbox add column together bigint references outbox;

-- Until when the lease was held before it was taken, or renewed, the last time; null when nobody had held it.
alter table lease add column held_before timestamptz;
