-- Requests that wait are looked at each second by when they expire, and with every page by their number; and a code that
-- somebody names is looked for among all requests that there ever were. None of it may read them all.

create index request_expiry on request (expires_at, id) where state = 'pending';
create index request_waiting on request (id) where state = 'pending';
create index request_by_code on request (code, id);
