-- The trace that a run is part of, as W3C trace context has it: `TRACE-ID-FLAGS`, both in hexadecimal. Null: it was made
-- before runs had one. It stands beside the plan and not in it: nobody agrees to a trace.

alter table run add column trace text check (trace ~ '^[0-9a-f]{32}-[0-9a-f]{2}$');

-- Stuck runs are counted whenever somebody watches; there are few, among very many that are over.
create index run_stuck on run (id) where state = 'stuck';
