-- Whether the catalog would make another plan now is asked for each plan that requests wait for, not for each request.

create index request_waiting_plan on request (digest, id) where state = 'pending';
