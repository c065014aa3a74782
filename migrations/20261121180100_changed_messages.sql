-- A row may change the message of another row of its room: buttons that have done their work go, and whoever scrolls sees
-- how it ended. The other row names the message once it was sent; until then this one waits, and if the other was given up
-- this one is dropped.

alter table outbox add column changes bigint references outbox;

-- The messages by which a request was shown, and a run's root.
create index outbox_subject on outbox (subject, id) where subject is not null and not edits;
-- What was shown to one person alone: to it a word without a code is bound in their direct messages.
create index outbox_direct on outbox (room, id) where role = 'direct' and not edits;
-- Of these, what has not been delivered: then the room tells them.
create index outbox_undelivered on outbox (id) where role = 'direct' and sent_at is null and not edits;
