-- Whether the same was denied not long ago is looked up at every asking, in whatever room that was.
create index run_runbook on run (runbook, created_at);
