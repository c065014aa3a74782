//! The ledger against a real Postgres: the chain, its one sequencer, verification and export.

#[path = "ledger/scene.rs"]
mod scene;
mod support;

use std::fmt::Write as _;
use std::time::Duration;

use countersign::ledger::report::parse_head;
use countersign::ledger::{self, Head, LedgerError, Report, Trial, chain, sequencer, verify};
use countersign::model::event::{Happened, NewEvent, Record, Scope};
use countersign::model::id::{Digest, Position};
use countersign::store::{ChainHead, Store, Topic};
use scene::{Scene, event, worker};
use sha2::{Digest as _, Sha256};
use support::{TestDb, database};

async fn report(store: &Store) -> Report {
    verify(store, &[]).await.expect("verification can read")
}

fn jumped(millis: i64) -> NewEvent {
    event(None, None, Happened::ClockJumped { millis }, [])
}

/// Whatever differs from one run of the test to the next.
fn stable(text: &str) -> String {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = |word: &str| {
        let bare = word.trim().trim_matches(|c: char| "`.,:;".contains(c));
        let (front, last) = bare.rsplit_once(':').unwrap_or(("", bare));
        if last.len() == 64 && hexadecimal(last) || last.len() == 12 && hexadecimal(last) && !front.is_empty() {
            let name = if front.is_empty() { "HASH".to_owned() } else { format!("{front}:HASH") };
            word.replace(bare, &name)
        } else if bare.strip_prefix("key/").unwrap_or(bare).len() == 12
            && hexadecimal(bare.strip_prefix("key/").unwrap_or(bare))
        {
            word.replace(bare.strip_prefix("key/").unwrap_or(bare), "KEY")
        } else if bare.len() == 27 && bare.ends_with('Z') && bare.contains('T') {
            word.replace(bare, "TIME")
        } else {
            word.to_owned()
        }
    };
    text.split_inclusive([' ', '\n']).map(word).collect()
}

/// Applies each change to the same sound database, and shows what verification finds.
async fn tampered(changes: &[(&str, &str)]) -> String {
    let scene = Scene::play().await;
    let sound = report(&scene.db.store).await;
    assert!(sound.is_sound(), "{sound}");
    let (position, hash) = sound.head.expect("a chain");
    let head = Head::new(position, hash);
    let mut shown = String::new();
    scene.db.keep().await;
    for (what, sql) in changes {
        scene.db.restore().await;
        scene.db.tamper(sql).await;
        let found = verify(&scene.db.store, std::slice::from_ref(&head)).await.expect("verification can read");
        assert!(!found.is_sound(), "{what} was not found");
        let _ = writeln!(shown, "{what}");
        for finding in &found.findings {
            let _ = writeln!(shown, "  {}", stable(&finding.to_string()));
        }
    }
    shown
}

#[tokio::test]
async fn i11_a_true_ledger_is_sound() {
    let scene = Scene::play().await;
    let found = report(&scene.db.store).await;
    insta::assert_snapshot!(stable(&found.to_string()), @"
    Ledger sound: 53 events up to 53:HASH.
    37 rows compared, 0 erased, 1 waiting for a place in the chain.
    No head that was kept elsewhere vouches for it: give one that a room shows, as `--head POSITION:HASH`.
    ");
    let (position, hash) = found.head.expect("a chain");
    let whole = Head::new(position, hash);
    let short = parse_head(&format!("{position}:{}", hash.short())).expect("a room's head");
    for head in [whole, short] {
        let found = verify(&scene.db.store, std::slice::from_ref(&head)).await.expect("verification can read");
        assert!(found.is_sound() && found.proved == Some(head), "{found}");
    }
}

#[tokio::test]
async fn i11_changes_of_events_are_found() {
    let found = tampered(&[
        ("a body", "update event_body set body = replace(convert_from(body, 'UTF8'), 'not now', 'go on')::bytea where event = (select id from event where kind = 'decided' and run = 2)"),
        ("a salt", "update event_body set salt = '\\x000102030405060708090a0b0c0d0e0f' where event = 3"),
        ("a commitment", "update event set commitment = sha256(commitment) where id = 3"),
        (
            "a body with its commitment",
            "update event_body set body = convert_to(replace(convert_from(body, 'UTF8'), 'healthy', 'ill'), 'UTF8') where event = 3;
             update event e set commitment = sha256(b.salt || b.body) from event_body b where b.event = e.id and e.id = 3",
        ),
        ("a kind", "update event set kind = 'clock_jumped' where id = 2"),
        ("a time", "update event set at = at + interval '1 microsecond' where id = 4"),
        ("a time beyond all reading", "update event set at = 'infinity' where id = 4"),
        ("a scope", "update event set run = 2 where id = 4"),
        ("a cause", "update event set cause = null where id = 4"),
        ("a schema", "update event set schema = 2 where id = 4"),
        ("an event without its body", "delete from event_body where event = 2"),
        ("a waiting event's body", "update event_body set salt = '\\x000102030405060708090a0b0c0d0e0f' where event = (select min(event) from unsequenced)"),
    ])
    .await;
    insta::assert_snapshot!(found, @"
    a body
      The body of position 15 (event 15) is not the one that was recorded: its hash is another.
      decision/2/0/boss has `not now` in `reason`; position 15 (event 15) says `go on`.
    a salt
      The body of position 3 (event 3) is not the one that was recorded: its hash is another.
    a commitment
      The hash at position 3 (event 3) does not follow from the position before and the event: one of the three was changed.
      The body of position 3 (event 3) is not the one that was recorded: its hash is another.
    a body with its commitment
      The hash at position 3 (event 3) does not follow from the position before and the event: one of the three was changed.
    a kind
      The hash at position 2 (event 2) does not follow from the position before and the event: one of the three was changed.
      The column `kind` of position 2 (event 2) says `clock_jumped` and the body says `key_added`.
    a time
      The hash at position 4 (event 4) does not follow from the position before and the event: one of the three was changed.
      run/1 has `TIME` in `created_at`; position 4 (event 4) says `TIME`.
    a time beyond all reading
      The hash at position 4 (event 4) does not follow from the position before and the event: one of the three was changed.
      run/1 has `TIME` in `created_at`; position 4 (event 4) says `TIME`.
    a scope
      The hash at position 4 (event 4) does not follow from the position before and the event: one of the three was changed.
    a cause
      The hash at position 4 (event 4) does not follow from the position before and the event: one of the three was changed.
    a schema
      The hash at position 4 (event 4) does not follow from the position before and the event: one of the three was changed.
    an event without its body
      The body of position 2 (event 2) is missing, and no event says that it was erased.
      key/KEY stands in its table without the `key_added` event that would tell of it.
      request/1 was granted at position 7 (event 7) against its rules: it is signed by the key KEY, which was not known by then.
      request/6 was granted at position 30 (event 30) against its rules: it is signed by the key KEY, which was not known by then.
      request/7 was granted at position 37 (event 37) against its rules: it is signed by the key KEY, which was not known by then.
      request/8 was granted at position 46 (event 46) against its rules: it is signed by the key KEY, which was not known by then.
    a waiting event's body
      The body of waiting event 54 is not the one that was recorded: its hash is another.
    ");
}

#[tokio::test]
async fn i11_changes_of_the_chain_are_found() {
    let found = tampered(&[
        ("a hash", "update chain set hash = sha256(hash) where position = 5"),
        ("the last place removed", "delete from chain where position = (select max(position) from chain)"),
        (
            "the last place and all of its event removed",
            "delete from event_body where event = (select event from chain order by position desc limit 1);
             delete from event where id = (select event from chain order by position desc limit 1);
             delete from chain where position = (select max(position) from chain)",
        ),
        ("a place in the middle removed", "delete from chain where position = 5"),
        (
            "removed without a gap",
            "alter table chain drop constraint if exists chain_position_check;
             delete from chain where position = 2; delete from event where id = 2; delete from event_body where event = 2;
             update chain set position = -position where position > 2; update chain set position = -position - 1 where position < 0",
        ),
        (
            "two places exchanged",
            "update chain set event = -event where position in (2, 3);
             update chain set event = case position when 2 then 3 else 2 end where position in (2, 3)",
        ),
        (
            "one inserted at the end",
            "insert into event overriding system value select 900, 'clock_jumped', 1, now(), null, null, null, null, null, null, sha256('00000000000000001');
             insert into event_body values (900, '0000000000000000', '{\"what\":{\"kind\":\"clock_jumped\",\"millis\":1}}');
             update event set commitment = sha256(salt || body) from event_body where event = 900 and id = 900;
             insert into chain select max(position) + 1, 900, sha256('x') from chain",
        ),
        ("a place before the first", "insert into event overriding system value select 901, 'clock_jumped', 1, now(), null, null, null, null, null, null, commitment from event where id = 2;
             alter table chain drop constraint if exists chain_position_check; insert into chain values (-4, 901, sha256('x'))"),
        ("an event removed", "delete from event where id = 5"),
        ("an event hidden from the sequencer", "delete from unsequenced"),
        ("a waiting event removed", "delete from event where id = (select min(event) from unsequenced)"),
        ("a chained event that waits again", "insert into unsequenced values (5)"),
        ("the beginning removed", "delete from chain where position = 1; delete from event where id = 1; delete from event_body where event = 1"),
    ])
    .await;
    insta::assert_snapshot!(found, @"
    a hash
      The hashes from position 5 (event 5) to position 6 do not follow from the positions before and the events: hashes or events were changed, exchanged or renumbered.
    the last place removed
      The chain ends at 52, before the head 53:HASH: events were removed from its end.
      Event 53 is neither in the chain nor waiting for its place.
    the last place and all of its event removed
      The chain ends at 52, before the head 53:HASH: events were removed from its end.
    a place in the middle removed
      Position 5 is missing from the chain.
      The hash at position 6 (event 6) does not follow from the position before and the event: one of the three was changed.
      Event 5 is neither in the chain nor waiting for its place.
      request/1 stands in its table without the `request_asked` event that would tell of it.
      request/1 was granted at position 7 (event 7) against its rules: nobody asked for it.
    removed without a gap
      The chain ends at 52, before the head 53:HASH: events were removed from its end.
      The hashes from position 2 (event 3) to position 52 do not follow from the positions before and the events: hashes or events were changed, exchanged or renumbered.
      key/KEY stands in its table without the `key_added` event that would tell of it.
      request/1 was granted at position 6 (event 7) against its rules: it is signed by the key KEY, which was not known by then.
      request/6 was granted at position 29 (event 30) against its rules: it is signed by the key KEY, which was not known by then.
      request/7 was granted at position 36 (event 37) against its rules: it is signed by the key KEY, which was not known by then.
      request/8 was granted at position 45 (event 46) against its rules: it is signed by the key KEY, which was not known by then.
    two places exchanged
      The hashes from position 2 (event 3) to position 3 do not follow from the positions before and the events: hashes or events were changed, exchanged or renumbered.
    one inserted at the end
      The hash at position 54 (event 900) does not follow from the position before and the event: one of the three was changed.
    a place before the first
      Position -4 stands in the chain, which begins at 1.
      The hashes from position -4 (event 901) to position 1 do not follow from the positions before and the events: hashes or events were changed, exchanged or renumbered.
      The body of position -4 (event 901) is missing, and no event says that it was erased.
      The ledger begins with position -4 (event 901) of kind `clock_jumped` and not with its creation.
      The ledger is created once more at position 1 (event 1).
    an event removed
      Position 5 names event 5, which is not there.
      There is a body for event 5, which is not there.
      request/1 stands in its table without the `request_asked` event that would tell of it.
      request/1 was granted at position 7 (event 7) against its rules: nobody asked for it.
    an event hidden from the sequencer
      Event 54 is neither in the chain nor waiting for its place.
      run/10 stands in its table, and no event tells of it.
      run/10 stands in its table without the `run_planned` event that would tell of it.
    a waiting event removed
      Event 54 waits for its place and is not there.
      There is a body for event 54, which is not there.
      run/10 stands in its table, and no event tells of it.
      run/10 stands in its table without the `run_planned` event that would tell of it.
    a chained event that waits again
      Event 5 is in the chain and still waits for its place.
      request/1 goes back at waiting event 5: to an older version, or to another state of the same one.
      request/1 has `granted` in `state`; waiting event 5 says `pending`.
      request/1 has `2` in `version`; waiting event 5 says `1`.
    the beginning removed
      Position 1 is missing from the chain.
      The hash at position 2 (event 2) does not follow from the position before and the event: one of the three was changed.
      The ledger begins with position 2 (event 2) of kind `key_added` and not with its creation.
      automation stands in its table without the `ledger_created` event that would tell of it.
      request/1 was granted at position 7 (event 7) against its rules: its signature is for another ledger.
      request/6 was granted at position 30 (event 30) against its rules: its signature is for another ledger.
      request/7 was granted at position 37 (event 37) against its rules: its signature is for another ledger.
      request/8 was granted at position 46 (event 46) against its rules: its signature is for another ledger.
    ");
}

#[tokio::test]
async fn i11_changes_of_runs_and_plans_are_found() {
    let found = tampered(&[
        ("a state", "update run set state = 'succeeded' where id = 4"),
        ("a version", "update run set version = version + 1 where id = 1"),
        ("who denied it", "update run set state_by = 'lin' where id = 2"),
        ("why it was denied", "update run set state_why = null where id = 2"),
        ("at which step it is stuck", "update run set state_step = 2 where id = 6"),
        ("why it failed", "update run set state_why = 'another reason' where id = 7"),
        ("who stops it", "update run set state_by = 'boss' where id = 8"),
        ("who stopped it", "update run set state_by = 'boss' where id = 9"),
        ("evidence for a state that has none", "update run set state_by = 'boss' where id = 1"),
        ("a runbook", "update run set runbook = 'stop-service' where id = 1"),
        ("a requester", "update run set requester = 'zed' where id = 1"),
        ("a requester's account", "update run set requester_account = 'local:trial:zed' where id = 1"),
        ("a room", "update run set room = 'local:trial:other' where id = 1"),
        ("a system", "update run set system = 'system-b' where id = 1"),
        ("an environment", "update run set environment = 'scratch' where id = 1"),
        ("a time", "update run set created_at = 'infinity' where id = 1"),
        ("another plan", "update run set plan = (select digest from plan where digest <> run.plan order by digest limit 1) where id = 1"),
        ("the bytes of a plan", "update plan set bytes = bytes || ' ' where digest = (select plan from run where id = 5)"),
        ("a removed run", "delete from run where id = 10"),
        (
            "an inserted run",
            "insert into run (state, runbook, system, environment, plan, room, requester, requester_account, created_at, updated_at)
             select 'planned', runbook, system, environment, plan, room, requester, requester_account, now(), now() from run where id = 1",
        ),
    ])
    .await;
    insta::assert_snapshot!(found, @"
    a state
      run/4 has `succeeded` in `state`; position 22 (event 22) says `expired`.
    a version
      run/1 has `6` in `version`; position 12 (event 12) says `5`.
    who denied it
      run/2 has `lin` in `state_by`; position 16 (event 16) says `boss`.
    why it was denied
      run/2 has nothing in `state_why`; position 16 (event 16) says `not now`.
    at which step it is stuck
      run/6 has `2` in `state_step`; position 33 (event 33) says `1`.
    why it failed
      run/7 has `another reason` in `state_why`; position 42 (event 42) says `judged by boss`.
    who stops it
      run/8 has `boss` in `state_by`; position 48 (event 48) says `mei`.
    who stopped it
      run/9 has `boss` in `state_by`; position 52 (event 52) says `mei`.
    evidence for a state that has none
      run/1 has `boss` in `state_by`; position 12 (event 12) says nothing.
    a runbook
      run/1 has `stop-service` in `runbook`; position 4 (event 4) says `start-service`.
    a requester
      run/1 has `zed` in `requester`; position 4 (event 4) says `mei`.
    a requester's account
      run/1 has `local:trial:zed` in `requester_account`; position 4 (event 4) says `local:trial:mei`.
    a room
      run/1 has `local:trial:other` in `room`; position 4 (event 4) says `local:trial:system-a`.
    a system
      run/1 has `system-b` in `system`; position 4 (event 4) says `system-a`.
    an environment
      run/1 has `scratch` in `environment`; position 4 (event 4) says `production`.
    a time
      run/1 has `TIME` in `created_at`; position 4 (event 4) says `TIME`.
    another plan
      run/1 has `HASH` in `plan`; position 4 (event 4) says `HASH`.
    the bytes of a plan
      The plan HASH was changed: its bytes have the digest HASH.
    a removed run
      run/10 is missing from its table; waiting event 54 tells of it.
    an inserted run
      run/11 stands in its table, and no event tells of it.
      run/11 stands in its table without the `run_planned` event that would tell of it.
    ");
}

#[tokio::test]
async fn i11_changes_of_requests_are_found() {
    let found = tampered(&[
        ("a state", "update request set state = 'granted' where id = 5"),
        ("a version", "update request set version = version + 1 where id = 5"),
        ("a stage", "update request set stage = 0 where id = 5"),
        ("who denied it", "update request set state_by = 'lin' where id = 2"),
        ("why it was denied", "update request set state_why = 'too late' where id = 2"),
        ("who withdrew it", "update request set state_by = 'boss' where id = 3"),
        ("evidence for a state that has none", "update request set state_by = 'boss' where id = 4"),
        ("a code", "update request set code = '9999' where id = 5"),
        ("a run", "update request set run = 2 where id = 5"),
        ("a retry", "update request set retry_step = 1 where id = 5"),
        ("a digest", "update request set digest = (select plan from run where id = 5) where id = 1"),
        ("the requesters", "update request set requesters = array['zed'] where id = 5"),
        ("a requester who is nobody", "update request set requesters = array[null]::text[] where id = 5"),
        ("an expiry", "update request set expires_at = expires_at + interval '1 hour' where id = 5"),
        ("when it was asked", "update request set asked_at = asked_at - interval '1 hour' where id = 5"),
        ("a removed request", "delete from request where id = 5"),
        (
            "an inserted request",
            "insert into request (code, run, digest, requesters, state, room, asked_at, expires_at)
             select '8888', run, digest, requesters, 'pending', room, now(), now() from request where id = 1",
        ),
    ])
    .await;
    insta::assert_snapshot!(found, @"
    a state
      request/5 has `granted` in `state`; position 26 (event 26) says `pending`.
    a version
      request/5 has `3` in `version`; position 26 (event 26) says `2`.
    a stage
      request/5 has `0` in `stage`; position 26 (event 26) says `1`.
    who denied it
      request/2 has `lin` in `state_by`; position 16 (event 16) says `boss`.
    why it was denied
      request/2 has `too late` in `state_why`; position 16 (event 16) says `not now`.
    who withdrew it
      request/3 has `boss` in `state_by`; position 19 (event 19) says `mei`.
    evidence for a state that has none
      request/4 has `boss` in `state_by`; position 22 (event 22) says nothing.
    a code
      request/5 has `9999` in `code`; position 24 (event 24) says `23NK`.
    a run
      request/5 has `2` in `run`; position 24 (event 24) says `5`.
    a retry
      request/5 has `1` in `retry_step`; position 24 (event 24) says nothing.
    a digest
      request/1 has `HASH` in `digest`; position 5 (event 5) says `HASH`.
    the requesters
      request/5 has `zed` in `requesters`; position 24 (event 24) says `mei`.
    a requester who is nobody
      request/5 has `nobody` in `requesters`; position 24 (event 24) says `mei`.
    an expiry
      request/5 has `TIME` in `expires_at`; position 24 (event 24) says `TIME`.
    when it was asked
      request/5 has `TIME` in `asked_at`; position 24 (event 24) says `TIME`.
    a removed request
      request/5 is missing from its table; position 26 (event 26) tells of it.
    an inserted request
      request/10 stands in its table, and no event tells of it.
      request/10 stands in its table without the `request_asked` event that would tell of it.
    ");
}

#[tokio::test]
async fn i11_changes_of_decisions_and_grants_are_found() {
    let found = tampered(&[
        ("a removed decision", "delete from decision where request = 1"),
        ("an inserted decision", "insert into decision select 5, 1, 'lin', 'local:trial:lin', 'approve', null, line, at from decision where request = 1"),
        ("a decision turned round", "update decision set verdict = 'approve' where request = 2"),
        ("another's decision", "update decision set person = 'lin' where request = 2"),
        ("another stage", "update decision set stage = 1 where request = 2"),
        ("an account", "update decision set account = 'local:trial:lin' where request = 2"),
        ("a reason", "update decision set reason = 'no reason' where request = 2"),
        ("a line", "update decision set line = 1 where request = 2"),
        ("a time", "update decision set at = at - interval '1 hour' where request = 2"),
        ("a grant's state", "update run_grant set state = 'granted' where id = 1"),
        ("a grant's version", "update run_grant set version = 9 where id = 1"),
        ("a grant's digest", "update run_grant set digest = (select plan from run where id = 5) where id = 1"),
        ("a grant's run", "update run_grant set run = 5 where id = 1"),
        ("a grant's request", "update run_grant set request = 5 where id = 1"),
        ("a grant's end", "update run_grant set expires_at = expires_at + interval '1 hour' where id = 1"),
        ("a grant's beginning", "update run_grant set granted_at = granted_at - interval '1 hour' where id = 1"),
        ("a removed grant", "delete from run_grant where id = 1"),
        (
            "an inserted grant",
            "insert into run_grant (run, request, digest, state, granted_at, expires_at)
             select run, id, digest, 'granted', now(), now() + interval '1 hour' from request where id = 5",
        ),
    ])
    .await;
    insta::assert_snapshot!(found, @"
    a removed decision
      decision/1/0/boss is missing from its table; position 6 (event 6) tells of it.
    an inserted decision
      decision/5/1/lin stands in its table without the `decided` event that would tell of it.
    a decision turned round
      decision/2/0/boss has `approve` in `verdict`; position 15 (event 15) says `deny`.
    another's decision
      decision/2/0/boss is missing from its table; position 15 (event 15) tells of it.
      decision/2/0/lin stands in its table without the `decided` event that would tell of it.
    another stage
      decision/2/0/boss is missing from its table; position 15 (event 15) tells of it.
      decision/2/1/boss stands in its table without the `decided` event that would tell of it.
    an account
      decision/2/0/boss has `local:trial:lin` in `account`; position 15 (event 15) says `local:trial:boss`.
    a reason
      decision/2/0/boss has `no reason` in `reason`; position 15 (event 15) says `not now`.
    a line
      decision/2/0/boss is missing from its table; position 15 (event 15) tells of it.
      decision/2/0/boss stands in its table without the `decided` event that would tell of it.
    a time
      decision/2/0/boss has `TIME` in `at`; position 15 (event 15) says `TIME`.
    a grant's state
      grant/1 has `granted` in `state`; position 12 (event 12) says `used`.
    a grant's version
      grant/1 has `9` in `version`; position 12 (event 12) says `2`.
    a grant's digest
      grant/1 has `HASH` in `digest`; position 7 (event 7) says `HASH`.
    a grant's run
      grant/1 has `5` in `run`; position 7 (event 7) says `1`.
    a grant's request
      grant/1 has `5` in `request`; position 7 (event 7) says `1`.
    a grant's end
      grant/1 has `TIME` in `expires_at`; position 7 (event 7) says `TIME`.
    a grant's beginning
      grant/1 has `TIME` in `granted_at`; position 7 (event 7) says `TIME`.
    a removed grant
      grant/1 is missing from its table; position 12 (event 12) tells of it.
    an inserted grant
      grant/5 stands in its table, and no event tells of it.
      grant/5 stands in its table without the `request_granted` event that would tell of it.
    ");
}

#[tokio::test]
async fn i11_changes_of_attempts_are_found() {
    let found = tampered(&[
        ("a state", "update attempt set state = 'failed' where run = 1 and step = 1"),
        ("a version", "update attempt set version = 9 where run = 1 and step = 1"),
        ("a grant", "update attempt set run_grant = null where run = 1 and step = 1"),
        ("an exit code", "update attempt set exit_code = 1 where run = 1 and step = 1"),
        ("a summary", "update attempt set summary = 'all well' where run = 1 and step = 1"),
        ("the hash of an output", "update attempt set output_sha256 = sha256('other') where run = 1 and step = 1"),
        ("an output", "update attempt_output set bytes = 'service-b: started twice' where run = 1"),
        (
            "an output with its hash",
            "update attempt_output set bytes = 'other' where run = 1; update attempt set output_sha256 = sha256('other') where run = 1 and step = 1",
        ),
        ("a removed output", "delete from attempt_output where run = 1"),
        ("an inserted output", "insert into attempt_output values (1, 2, 1, 'all well', 0)"),
        ("who judged", "update attempt set judged_by = 'lin' where run = 7"),
        ("what they judged", "update attempt set judged_worked = true where run = 7"),
        ("a judgement of what nobody judged", "update attempt set judged_by = 'lin' where run = 1 and step = 1"),
        ("when it started", "update attempt set started_at = started_at - interval '1 hour' where run = 1 and step = 1"),
        ("when it ended", "update attempt set ended_at = null where run = 1 and step = 1"),
        ("an end of what runs", "update attempt set ended_at = now() where run = 8"),
        ("a removed attempt", "delete from attempt where run = 8"),
        ("an inserted attempt", "insert into attempt (run, step, number, state, fence, worker, started_at) values (5, 1, 1, 'started', 1, 1, now())"),
    ])
    .await;
    insta::assert_snapshot!(found, @"
    a state
      attempt/1/1/1 has `failed` in `state`; position 9 (event 9) says `succeeded`.
    a version
      attempt/1/1/1 has `9` in `version`; position 9 (event 9) says `2`.
    a grant
      attempt/1/1/1 has nothing in `run_grant`; position 8 (event 8) says `1`.
    an exit code
      attempt/1/1/1 has `1` in `exit_code`; position 9 (event 9) says `0`.
    a summary
      attempt/1/1/1 has `all well` in `summary`; position 9 (event 9) says `started`.
    the hash of an output
      attempt/1/1/1 has `HASH` in `output_sha256`; position 9 (event 9) says `HASH`.
    an output
      attempt/1/1/1 has `HASH` in `attempt_output.bytes (SHA-256)`; position 9 (event 9) says `HASH`.
    an output with its hash
      attempt/1/1/1 has `HASH` in `attempt_output.bytes (SHA-256)`; position 9 (event 9) says `HASH`.
      attempt/1/1/1 has `HASH` in `output_sha256`; position 9 (event 9) says `HASH`.
    a removed output
      attempt/1/1/1 has nothing in `attempt_output.bytes (SHA-256)`; position 9 (event 9) says `HASH`.
    an inserted output
      attempt/1/2/1 has `HASH` in `attempt_output.bytes (SHA-256)`; position 11 (event 11) says nothing.
    who judged
      attempt/7/1/1 has `lin` in `judged_by`; position 41 (event 41) says `boss`.
    what they judged
      attempt/7/1/1 has `true` in `judged_worked`; position 41 (event 41) says `false`.
    a judgement of what nobody judged
      attempt/1/1/1 has `lin` in `judged_by`; position 9 (event 9) says nothing.
    when it started
      attempt/1/1/1 has `TIME` in `started_at`; position 8 (event 8) says `TIME`.
    when it ended
      attempt/1/1/1 has nothing in `ended_at`; position 9 (event 9) says `TIME`.
    an end of what runs
      attempt/8/1/1 has `TIME` in `ended_at`; position 47 (event 47) says nothing.
    a removed attempt
      attempt/8/1/1 is missing from its table; position 47 (event 47) tells of it.
    an inserted attempt
      attempt/5/1/1 stands in its table, and no event tells of it.
      attempt/5/1/1 stands in its table without the `attempt_ended` or `attempt_lost` event that would tell of it.
      attempt/5/1/1 stands in its table without the `attempt_started` event that would tell of it.
    ");
}

/// Events that were written by this program's rules broken, all in the chain as they should be.
#[tokio::test]
async fn i11_what_was_granted_or_started_against_the_rules_is_found() {
    let mut found = String::new();
    for (what, play) in scene::broken() {
        let mut scene = Scene::begin().await;
        play(&mut scene).await;
        sequencer::drain(&scene.db.store, scene.me).await.expect("it is sequenced");
        let report = report(&scene.db.store).await;
        assert!(!report.is_sound(), "{what} was not found");
        let _ = writeln!(found, "{what}");
        for finding in &report.findings {
            let _ = writeln!(found, "  {}", stable(&finding.to_string()));
        }
    }
    insta::assert_snapshot!(found, @"
    granted by one of two
      request/1 was granted at position 6 (event 6) against its rules: stage 1 of its policy still waited for 1 more person.
    granted in one of two stages
      request/1 was granted at position 6 (event 6) against its rules: stage 2 of its policy still waited for 1 more person.
    granted by who asked
      request/1 was granted at position 6 (event 6) against its rules: mei asked for it and is named among those who agreed.
      request/1 was granted at position 6 (event 6) against its rules: stage 1 of its policy still waited for 1 more person.
      mei asked for request/1 and agreed to it at position 5 (event 5).
    granted by who was not asked
      request/1 was granted at position 6 (event 6) against its rules: stage 1 of its policy still waited for 1 more person.
    granted by who did not say so
      request/1 was granted at position 6 (event 6) against its rules: its signature names others than those who agreed.
      request/1 was granted at position 6 (event 6) against its rules: lin is named among those who agreed and did not.
    granted though denied
      request/1 was granted at position 7 (event 7) against its rules: somebody who was asked had denied it.
    granted after its time
      request/1 was granted at position 6 (event 6) against its rules: it had expired at TIME.
      request/1 was granted at position 6 (event 6) against its rules: stage 1 of its policy still waited for 1 more person.
    started without a grant
      attempt/1/1/1 was started at position 7 (event 7) against the rules: its step changes something and it names no grant.
    started under another run's grant
      attempt/2/1/1 has nothing in `run_grant`; position 12 (event 12) says `1`.
      attempt/2/1/1 was started at position 12 (event 12) against the rules: it names grant/1, which is for run/1.
    started under a grant that nobody gave
      attempt/1/1/1 has nothing in `run_grant`; position 4 (event 4) says `7`.
      attempt/1/1/1 was started at position 4 (event 4) against the rules: it names grant/7, which nobody gave.
    started under a grant that was over
      attempt/1/1/1 has nothing in `run_grant`; position 7 (event 7) says `1`.
      attempt/1/1/1 was started at position 7 (event 7) against the rules: it names grant/1, which had ended at TIME.
    a step that its plan does not have
      attempt/1/3/1 was started at position 4 (event 4) against the rules: its plan has no step 3.
    a version that goes back
      run/1 goes back at position 5 (event 5): to an older version, or to another state of the same one.
    ");
}

/// Erases the body of an event, with an event that says so about `about`, and lets the sequencer take it.
async fn erase(db: &TestDb, event: i64, about: i64) {
    db.tamper(&format!(
        r#"
        with e as (
            insert into event (kind, schema, at, commitment)
            select 'erased', 1, now(), sha256('0000000000000000'::bytea || body)
            from (select '{{"what":{{"kind":"erased","event":{about},"by":"boss","why":"asked for it"}}}}'::bytea as body) as b
            returning id
        ), b as (
            insert into event_body (event, salt, body)
            select id, '0000000000000000', '{{"what":{{"kind":"erased","event":{about},"by":"boss","why":"asked for it"}}}}' from e
        ), u as (insert into unsequenced select id from e)
        update event_body set body = null, salt = null, erased_by = e.id from e where event = {event}
        "#
    ))
    .await;
    let me = worker(&db.store, 9).await;
    db.tamper("update lease set until = '2000-01-01Z'").await;
    sequencer::drain(&db.store, me).await.expect("it is sequenced");
}

#[tokio::test]
async fn i11_what_was_erased_is_erased_and_not_broken() {
    let scene = Scene::play().await;
    let copy = scene.db.fork().await;
    erase(&copy, 3, 3).await;
    let found = report(&copy.store).await;
    assert!(found.is_sound() && found.erased == 1 && found.not_compared == 0, "{found}");

    // What the body of a state's event said is gone: it is said that it was not compared.
    let copy = scene.db.fork().await;
    let planned = copy.number("select id from event where kind = 'run_planned' and run = 1").await;
    erase(&copy, planned, planned).await;
    let found = report(&copy.store).await;
    assert!(found.is_sound() && found.erased == 1 && found.not_compared > 0, "{found}");
    // What came after it still tells.
    copy.tamper("update run set state = 'failed', version = 9 where id = 1").await;
    assert!(!report(&copy.store).await.is_sound());

    let wrong = [("an erasure about another event", 2, 3), ("an erasure of the future", 1, 2)];
    for (what, event, about) in wrong {
        let copy = scene.db.fork().await;
        erase(&copy, event, about).await;
        let found = report(&copy.store).await;
        assert!(!found.is_sound() && found.erased == 0, "{what}: {found}");
    }
    let copy = scene.db.fork().await;
    copy.tamper("update event_body set body = null, salt = null, erased_by = 1 where event = 2").await;
    insta::assert_snapshot!(report(&copy.store).await.findings[0], @"The body of position 2 (event 2) is said to be erased by event 1, which is not a later event that says so.");
}

/// Gives every place the hash that follows, as whoever can write the database can.
async fn rewrite(db: &TestDb) {
    let mut head = ChainHead { position: Position(0), hash: Digest([0; 32]) };
    for row in db.store.list_chained(Position(0), 10_000).await.expect("the chain can be read") {
        head = chain::link(head, &row);
        db.tamper(&format!("update chain set hash = '\\x{}' where position = {}", head.hash, head.position)).await;
    }
}

#[tokio::test]
async fn i11_a_rewritten_chain_is_found_by_a_head_that_was_kept() {
    let scene = Scene::play().await;
    let (position, hash) = report(&scene.db.store).await.head.expect("a chain");
    let head = parse_head(&format!("{position}:{}", hash.short())).expect("a room's head");

    let changed = scene.db.fork().await;
    changed
        .tamper(
            "update event_body set body = convert_to(replace(convert_from(body, 'UTF8'), 'healthy', 'ill'), 'UTF8') where event = 3;
             update event e set commitment = sha256(b.salt || b.body) from event_body b where b.event = e.id and e.id = 3",
        )
        .await;
    rewrite(&changed).await;
    let alone = report(&changed.store).await;
    assert!(alone.is_sound() && alone.proved.is_none(), "a chain alone proves nothing, and says so: {alone}");
    let found = verify(&changed.store, std::slice::from_ref(&head)).await.expect("verification can read");
    insta::assert_snapshot!(stable(&found.findings[0].to_string()), @"Position 53 has the hash HASH, which is not that of the head 53:HASH: the ledger was changed at or before it, or the head is another ledger's.");
    assert_eq!(found.total, 1);

    let shorter = scene.db.fork().await;
    shorter
        .tamper(
            "delete from event_body where event in (select event from unsequenced); delete from event where id in (select event from unsequenced);
             delete from unsequenced; delete from run where id = 10; delete from line_run where run = 10;
             delete from event_body where event = (select event from chain order by position desc limit 1);
             delete from event where id = (select event from chain order by position desc limit 1);
             delete from chain where position = (select max(position) from chain)",
        )
        .await;
    assert!(report(&shorter.store).await.is_sound());
    let found = verify(&shorter.store, &[head]).await.expect("verification can read");
    insta::assert_snapshot!(stable(&found.findings[0].to_string()), @"The chain ends at 52, before the head 53:HASH: events were removed from its end.");
}

#[tokio::test]
async fn i11_the_tables_refuse_changes() {
    let scene = Scene::begin().await;
    sequencer::drain(&scene.db.store, scene.me).await.expect("it is sequenced");
    let mut connection = scene.db.connection().await;
    for sql in [
        "update event set kind = 'x'",
        "delete from event",
        "truncate event cascade",
        "update chain set hash = sha256(hash)",
        "delete from chain",
        "truncate chain",
    ] {
        let refused = sqlx::raw_sql(sql).execute(&mut connection).await.expect_err(sql).to_string();
        assert!(refused.contains("insert-only"), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn i4_a_transaction_that_is_dropped_leaves_neither_state_nor_event() {
    let mut scene = Scene::begin().await;
    let before = scene.db.number("select (select count(*) from event) * 1000 + (select count(*) from run)").await;
    let tx = scene.planned_but_not_committed().await;
    drop(tx);
    let after = || scene.db.number("select (select count(*) from event) * 1000 + (select count(*) from run)");
    assert_eq!(after().await, before);
    let others = "select (select count(*) from unsequenced) * 1000 + (select count(*) from event_body) * 100
        + (select count(*) from request) + (select count(*) from plan) + (select count(*) from line_run)";
    assert_eq!(scene.db.number(others).await, 2200, "the ledger's beginning alone");

    scene.planned_but_not_committed().await.commit().await.expect("it commits");
    let after = scene.db.number("select (select count(*) from event) * 1000 + (select count(*) from run)").await;
    assert_eq!(after, before + 1001, "with the commit both are there");
    assert!(report(&scene.db.store).await.is_sound());
}

#[tokio::test]
async fn i4_a_change_without_its_event_is_found() {
    let mut scene = Scene::begin().await;
    scene.change_without_event().await;
    insta::assert_snapshot!(report(&scene.db.store).await.findings[0], @"run/1 has `stopped` in `state`; waiting event 3 says `planned`.");
}

/// Two workers over two stores, their lease taken away again and again, and events from both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i5_two_sequencers_make_one_chain() {
    const EVENTS: i64 = 200;
    let db = database().await;
    ledger::open(&db.store, Trial::No).await.expect("a ledger");
    let stores = [db.store.clone(), db.another_store().await];
    let workers = [worker(&stores[0], 1).await, worker(&stores[1], 2).await];
    let writers = stores.clone().map(|store| {
        tokio::spawn(async move {
            for number in 0..EVENTS / 2 {
                store.record(&[jumped(number)]).await.expect("it is recorded");
            }
        })
    });
    let sequencers = [0, 1].map(|index: usize| {
        let (store, me) = (stores[index].clone(), workers[index]);
        tokio::spawn(async move {
            let mut appended = 0;
            while store.chain_head().await.expect("the chain can be read").position.0 <= EVENTS {
                let length = Duration::from_secs(60);
                let Some(lease) = store.take_lease(sequencer::LEASE, me, length).await.expect("a lease or not") else {
                    continue;
                };
                // Both go on with what they once held.
                for _ in 0..3 {
                    let done = store.sequence(sequencer::LEASE, me, lease.fence, 3, chain::link).await;
                    appended += done.expect("a batch or not").unwrap_or(0);
                    store.end_worker(me).await.expect("the lease is given up");
                    tokio::task::yield_now().await;
                }
            }
            appended
        })
    });
    let work = async {
        for writer in writers {
            writer.await.expect("the writer ends");
        }
        let mut appended = 0;
        for sequencer in sequencers {
            appended += sequencer.await.expect("the sequencer ends");
        }
        appended
    };
    let appended = tokio::time::timeout(Duration::from_secs(60), work).await.expect("all is appended in time");
    assert_eq!(appended as i64, EVENTS + 1, "each event once");
    let found = report(&db.store).await;
    assert!(found.is_sound() && found.events as i64 == EVENTS + 1 && found.waiting == 0, "{found}");
}

#[tokio::test]
async fn i5_a_stale_fence_cannot_append() {
    let db = database().await;
    let (old, new) = (db.store.clone(), db.another_store().await);
    let (a, b) = (worker(&old, 1).await, worker(&new, 2).await);
    old.record(&[jumped(1)]).await.expect("it is recorded");
    let length = Duration::from_secs(60);
    let held = old.take_lease(sequencer::LEASE, a, length).await.expect("asked").expect("free");
    assert_eq!(new.take_lease(sequencer::LEASE, b, length).await.expect("asked"), None, "it is held");
    assert!(matches!(sequencer::drain(&new, b).await, Err(LedgerError::HeldElsewhere)));

    // For the other worker the lease is over.
    new.clock().shift(chrono::TimeDelta::minutes(2));
    let taken = new.take_lease(sequencer::LEASE, b, length).await.expect("asked").expect("over");
    assert!(taken.fence > held.fence);
    let late = old.sequence(sequencer::LEASE, a, held.fence, 500, chain::link).await.expect("asked");
    assert_eq!(late, None, "the old holder is fenced off");
    let stolen = old.sequence(sequencer::LEASE, a, taken.fence, 500, chain::link).await.expect("asked");
    assert_eq!(stolen, None, "also with the new fence");
    assert_eq!(db.number("select count(*) from chain").await, 0);
    let done = new.sequence(sequencer::LEASE, b, taken.fence, 500, chain::link).await.expect("asked");
    assert_eq!(done, Some(1));

    // A holder whose time is over by its own clock does not append either.
    old.record(&[jumped(2)]).await.expect("it is recorded");
    new.clock().shift(chrono::TimeDelta::minutes(2));
    let over = new.sequence(sequencer::LEASE, b, taken.fence, 500, chain::link).await.expect("asked");
    assert_eq!(over, None);
}

/// Waits until a task waits for a lock in the database; `false`: it ended without.
async fn waits_for_a_lock<T>(db: &TestDb, task: &tokio::task::JoinHandle<T>) -> bool {
    let wait = async {
        loop {
            let waiting =
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            if db.number(waiting).await > 0 {
                return true;
            }
            if task.is_finished() {
                return false;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("one or the other in time")
}

#[tokio::test]
async fn i5_an_older_fence_of_the_same_worker_cannot_append() {
    let db = database().await;
    let me = worker(&db.store, 1).await;
    db.store.record(&[jumped(1)]).await.expect("it is recorded");
    let length = Duration::from_secs(60);
    let before = db.store.take_lease(sequencer::LEASE, me, length).await.expect("asked").expect("free");
    db.store.clock().shift(chrono::TimeDelta::minutes(2));
    let after = db.store.take_lease(sequencer::LEASE, me, length).await.expect("asked").expect("over");
    assert_ne!(before.fence, after.fence);
    let late = db.store.sequence(sequencer::LEASE, me, before.fence, 500, chain::link).await.expect("asked");
    assert_eq!(late, None, "what it held before its lease ended counts no more");
    let done = db.store.sequence(sequencer::LEASE, me, after.fence, 500, chain::link).await.expect("asked");
    assert_eq!(done, Some(1));
}

/// The lease does not change hands between the look at it and the commit under it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i5_a_lease_waits_for_the_transaction_under_it() {
    let db = database().await;
    let (old, new) = (db.store.clone(), db.another_store().await);
    let (a, b) = (worker(&old, 1).await, worker(&new, 2).await);
    old.record(&[jumped(1)]).await.expect("it is recorded");
    let length = Duration::from_secs(60);
    let held = old.take_lease(sequencer::LEASE, a, length).await.expect("asked").expect("free");
    let (inside, is_inside) = tokio::sync::oneshot::channel();
    let (go_on, gone_on) = std::sync::mpsc::channel::<()>();
    let pause = std::sync::Mutex::new((Some(inside), gone_on));
    let appending = tokio::spawn(async move {
        let link = |head, row: &_| {
            let mut pause = pause.lock().expect("one at a time");
            if let Some(inside) = pause.0.take() {
                inside.send(()).expect("somebody waits");
                pause.1.recv().expect("somebody says so");
            }
            chain::link(head, row)
        };
        old.sequence(sequencer::LEASE, a, held.fence, 500, link).await
    });
    is_inside.await.expect("it comes to the first event");
    new.clock().shift(chrono::TimeDelta::minutes(2));
    let taking = tokio::spawn({
        let new = new.clone();
        async move { new.take_lease(sequencer::LEASE, b, length).await }
    });
    let waited = waits_for_a_lock(&db, &taking).await;
    go_on.send(()).expect("it listens");
    assert!(waited, "the lease was taken while its holder was appending");
    assert_eq!(appending.await.expect("it ends").expect("it appends"), Some(1));
    let taken = taking.await.expect("it ends").expect("asked").expect("over");
    let done = new.sequence(sequencer::LEASE, b, taken.fence, 500, chain::link).await.expect("asked");
    assert_eq!(done, Some(0), "it was appended before");
}

/// Waits until the chain has come to a place.
async fn until_chained(store: &Store, position: i64) {
    let mut chained = store.hub().listen(Topic::Chained);
    let wait = async {
        while store.chain_head().await.expect("the chain can be read").position.0 < position {
            chained.wait(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it is chained in time");
}

#[tokio::test]
async fn i5_the_loop_sequences_takes_over_and_ends() {
    let db = database().await;
    let (first, second) = (db.store.clone(), db.another_store().await);
    let (a, b) = (worker(&first, 1).await, worker(&second, 2).await);
    let (stop_first, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(sequencer::run(first.clone(), a, Duration::from_secs(30), stopped));
    for number in 0..3 {
        first.record(&[jumped(number)]).await.expect("it is recorded");
    }
    until_chained(&first, 3).await;
    // The other finds the lease held, and takes it once its holder has ended.
    let (stop_second, stopped) = tokio::sync::watch::channel(false);
    let other = tokio::spawn(sequencer::run(second.clone(), b, Duration::from_secs(30), stopped));
    stop_first.send(true).expect("it listens");
    running.await.expect("it ends");
    first.end_worker(a).await.expect("it is ended");
    first.record(&[jumped(3)]).await.expect("it is recorded");
    until_chained(&second, 4).await;
    // Whoever could stop it is gone.
    drop(stop_second);
    tokio::time::timeout(Duration::from_secs(60), other).await.expect("it ends in time").expect("it ends");
}

#[tokio::test]
async fn i5_the_loop_outlives_a_database_that_fails() {
    let db = database().await;
    db.tamper("alter table chain rename to gone").await;
    let me = worker(&db.store, 1).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(sequencer::run(db.store.clone(), me, Duration::from_secs(30), stopped));
    db.store.record(&[jumped(1)]).await.expect("it is recorded");
    let failing = async {
        // Once it has the lease, the next thing that it does fails.
        while db.number("select count(*) from lease").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), failing).await.expect("it takes the lease in time");
    db.tamper("alter table gone rename to chain").await;
    until_chained(&db.store, 1).await;
    stop.send(true).expect("it listens");
    running.await.expect("it ends");
}

#[tokio::test]
async fn drain_takes_more_than_a_batch() {
    let db = database().await;
    let me = worker(&db.store, 1).await;
    let events: Vec<NewEvent> = (0..1201).map(jumped).collect();
    db.store.record(&events).await.expect("they are recorded");
    assert_eq!(sequencer::drain(&db.store, me).await.expect("it is sequenced"), 1201);
    assert_eq!(sequencer::drain(&db.store, me).await.expect("it is sequenced"), 0);
    let found = report(&db.store).await;
    // And so nothing tells of the row that every ledger's beginning makes.
    assert_eq!((found.events, found.total), (1201, 2), "it has no beginning: {found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_ledger_is_begun_once() {
    let db = database().await;
    let other = db.another_store().await;
    let opening = (0..8).map(|number| {
        let store = if number % 2 == 0 { db.store.clone() } else { other.clone() };
        tokio::spawn(async move { ledger::open(&store, Trial::Yes).await })
    });
    let mut opened = Vec::new();
    for task in opening.collect::<Vec<_>>() {
        opened.push(task.await.expect("it ends").expect("it opens"));
    }
    opened.dedup();
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(db.number("select count(*) from event").await, 1);
    assert_eq!(opened[0].ledger.len(), 32);
    assert_eq!(opened[0].trial, Trial::Yes);
    assert_eq!(ledger::open(&db.store, Trial::Yes).await.expect("it opens again"), opened[0]);
}

/// Another process has begun the ledger and not yet committed: this one waits, and finds it begun.
#[tokio::test]
async fn a_ledger_that_is_being_begun_is_waited_for() {
    let db = database().await;
    let mut other = db.connection().await;
    let begin = r#"
        begin;
        insert into event (kind, schema, at, commitment) values ('ledger_created', 1, now(), sha256('x'));
        insert into event_body (event, salt, body)
        values (1, '0000000000000000', '{"what":{"kind":"ledger_created","trial":true,"ledger":"other"}}');
        insert into unsequenced values (1)"#;
    sqlx::raw_sql(begin).execute(&mut other).await.expect("it begins");
    let store = db.store.clone();
    let opening = tokio::spawn(async move { ledger::open(&store, Trial::Yes).await });
    let waited = waits_for_a_lock(&db, &opening).await;
    sqlx::raw_sql("commit").execute(&mut other).await.expect("it commits");
    assert!(waited, "a second beginning was made");
    assert_eq!(opening.await.expect("it ends").expect("it opens").ledger, "other");
    assert_eq!(db.number("select count(*) from event").await, 1);
}

#[tokio::test]
async fn a_trial_and_a_record_are_not_mixed() {
    let (trial, record, neither) = (database().await, database().await, database().await);
    ledger::open(&trial.store, Trial::Yes).await.expect("a trial");
    ledger::open(&record.store, Trial::No).await.expect("a record");
    neither.store.record(&[jumped(1)]).await.expect("it is recorded");
    let refused = [
        ledger::open(&trial.store, Trial::No).await.expect_err("refused"),
        ledger::open(&record.store, Trial::Yes).await.expect_err("refused"),
        ledger::open(&neither.store, Trial::No).await.expect_err("refused"),
    ];
    let said: Vec<String> = refused.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    this ledger was begun as a trial, in which one person may speak as several: it cannot become a ledger of record, give another database
    this ledger was not begun as a trial, so nobody may speak as others in it: give the trial another database, or start without the trial
    the first event of this ledger is `clock_jumped` and does not say how the ledger was begun: `audit verify` tells more
    "#);
    assert_eq!(neither.number("select count(*) from event").await, 1);
}

/// What an outsider does, from the words alone: none of the program's code.
fn recompute(lines: &[String]) -> Vec<String> {
    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
    }
    let mut before = vec![0; 32];
    lines
        .iter()
        .map(|text| {
            let line: serde_json::Value = serde_json::from_str(text).expect("a line is JSON");
            if let Some((_, rest)) = text.split_once(r#","body":"#) {
                let mut commitment = Sha256::new();
                commitment.update(bytes(line["salt"].as_str().expect("a salt")));
                commitment.update(rest.strip_suffix('}').expect("a brace"));
                assert_eq!(commitment.finalize().to_vec(), bytes(line["commitment"].as_str().expect("a commitment")));
            }
            let mut input = b"countersign/chain/v1\n".to_vec();
            input.extend(&before);
            input.extend(line["position"].as_i64().expect("a position").to_be_bytes());
            let mut column = |value: Option<Vec<u8>>| match value {
                None => input.push(0),
                Some(value) => {
                    input.push(1);
                    input.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
                    input.extend(value);
                }
            };
            let number = |key: &str| line[key].as_i64().map(|number| number.to_be_bytes().to_vec());
            let word = |key: &str| line[key].as_str().map(|text| text.as_bytes().to_vec());
            let at = chrono::DateTime::parse_from_rfc3339(line["at"].as_str().expect("a time")).expect("a time");
            column(number("id"));
            column(word("kind"));
            column(Some((line["schema"].as_i64().expect("a version") as i16).to_be_bytes().to_vec()));
            column(Some(at.timestamp_micros().to_be_bytes().to_vec()));
            for key in ["system", "environment"] {
                column(word(key));
            }
            column(number("incident"));
            column(number("run"));
            column(word("audience"));
            column(number("cause"));
            input.extend(bytes(line["commitment"].as_str().expect("a commitment")));
            before = Sha256::digest(&input).to_vec();
            let hash: String = before.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(line["hash"], hash, "{text}");
            hash
        })
        .collect()
}

#[tokio::test]
async fn i11_an_outsider_can_recompute_the_export() {
    let scene = Scene::play().await;
    erase(&scene.db, 2, 2).await;
    let mut lines = Vec::new();
    let take = |line| {
        lines.push(line);
        Ok(())
    };
    let written = ledger::export(&scene.db.store, Position(1), take).await.expect("it is exported");
    let found = report(&scene.db.store).await;
    assert_eq!(written, found.events);
    let hashes = recompute(&lines);
    let (_, head) = found.head.expect("a chain");
    assert_eq!(hashes.last(), Some(&head.to_string()));
    let (erased, whole): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.contains("\"erased_by\":"));
    assert_eq!((erased.len(), whole.len()), (1, lines.len() - 1));

    let mut rest = Vec::new();
    let take = |line| {
        rest.push(line);
        Ok(())
    };
    ledger::export(&scene.db.store, Position(7), take).await.expect("it is exported");
    assert_eq!(rest, lines[6..]);

    let full = |_| Err(std::io::Error::other("no space"));
    let refused = ledger::export(&scene.db.store, Position(1), full).await.expect_err("a writer that fails ends it");
    assert_eq!(refused.to_string(), "a line of the export could not be written");
}

#[tokio::test]
async fn i11_a_second_beginning_is_found() {
    let mut scene = Scene::begin().await;
    let what = Happened::LedgerCreated { trial: true, ledger: "other".into() };
    let record = Record { what, rows: Vec::new() };
    scene.db.store.record(&[NewEvent { scope: Scope::default(), cause: None, record }]).await.expect("it is recorded");
    scene.said("is service c running").await;
    insta::assert_snapshot!(report(&scene.db.store).await.findings[0], @"The ledger is created once more at waiting event 3.");
}
