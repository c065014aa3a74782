-- What somebody asked for before of the same runbook is looked up at every asking.
create index run_requester on run (requester, runbook, id);
