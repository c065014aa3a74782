-- What the pages read by: a room's lines and one thread's, the newest change of a message, and the ledger by kind, system
-- and person. Each is read backwards from some place, a page at a time.

create index inbox_room on inbox (room, id);
create index inbox_thread on inbox (room, thread, id) where thread is not null;
create index inbox_person on inbox (person, id) where person is not null;
create index outbox_edits on outbox (room, subject, role, id) where edits;
create index outbox_thread on outbox (room, thread, id) where thread is not null;
create index outbox_thread_of on outbox (room, thread_of, id) where thread_of is not null;
create index event_kind on event (kind, id);
create index event_system on event (system, id) where system is not null;
