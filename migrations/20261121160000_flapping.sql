-- A check that changes too often to be told, and indexes that keep a long incident from slowing down its room.
--
--   check_state   told -> flaps (flaps_since) -> told again, once it has held one state for the whole window

-- Since when its turns are not told; null: they are.
alter table check_state add column flaps_since timestamptz;

-- What one transaction recorded of an incident: its events have one time.
create index event_incident_at on event (incident, at) where incident is not null;
-- The events of an incident that people are told of, whatever its checks have filled it with.
create index event_incident_kind on event (incident, kind, id) where incident is not null;
