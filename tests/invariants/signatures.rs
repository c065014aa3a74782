//! I1 and I11: a grant is signed. What was not signed, or was changed since, lets nothing start, and `audit verify` says so.

use countersign::approval::{self, Give, Why};
use countersign::ledger::{Report, keys, segregation, sequencer, verify};
use countersign::model::id::Digest;
use countersign::model::signature::{PublicKey, Signer, Statement, Trust, pkcs8};
use countersign::store::{Store, StoreError};
use zeroize::Zeroizing;

use super::house::{Asked, House, LEASE};
use super::support::hold_key;

/// Takes the triggers and references away that stand in an editor's way.
const UNBOUND: &str = "alter table run_grant drop constraint run_grant_signed_by_fkey;";

async fn report(house: &House) -> Report {
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    verify(house.store(), &[]).await.expect("it can be read")
}

fn place(house: &House) -> keys::Place {
    keys::Place { data: house.side(""), host: "app-1".to_owned() }
}

fn own(store: &Store) -> PublicKey {
    store.keyring().signer().expect("a key").public()
}

#[tokio::test]
async fn i1_a_grant_that_somebody_changed_by_hand_starts_nothing() {
    for (what, sql, sentence) in [
        ("no signature", "set signed_by = null, statement = null, signature = null", "the approval bears no signature"),
        ("a signature of zeros", "set signature = decode(repeat('00', 64), 'hex')", "the approval is not in force"),
        (
            "another's name in what was signed",
            "set statement = convert_to(replace(convert_from(statement, 'UTF8'), 'boss', 'lin'), 'UTF8')",
            "the approval is not in force",
        ),
        ("a later end", "set expires_at = expires_at + interval '1 day'", "the approval was signed for another end"),
        (
            "another beginning",
            "set granted_at = granted_at - interval '1 s'",
            "the approval was signed for another time",
        ),
    ] {
        let house = House::new().await;
        let asked = house.granted("mei", "mark it", "boss").await;
        house.db.tamper(&format!("update run_grant {sql}")).await;
        refused(&house, asked, what, sentence).await;
    }
    for (what, sql, sentence) in [
        ("an account", "update decision set account = 'local:trial:boss2'", "the decisions are not those"),
        ("a time", "update decision set at = at - interval '1 s'", "the decisions are not those"),
        ("a line", "update decision set line = (select min(id) from inbox)", "the decisions are not those"),
        (
            "a key that ended before",
            "update signing_key set retired_at = added_at, retired_by = 'x', retired_why = 'x'",
            "the approval is signed by the key",
        ),
        ("no key", "KEY delete from signing_key", "the approval is signed by the key"),
    ] {
        let house = House::new().await;
        let asked = house.granted("mei", "mark it", "boss").await;
        house.db.tamper(&sql.replace("KEY", UNBOUND)).await;
        refused(&house, asked, what, sentence).await;
    }
}

async fn refused(house: &House, asked: Asked, what: &str, sentence: &str) {
    let engine = house.engine();
    let why = house.failure(asked.run).await;
    engine.stop().await;
    assert!(why.starts_with(sentence), "{what}: {why}");
    assert_eq!((house.done(), house.count("attempt").await), (Vec::new(), 0), "{what}");
    assert!(!report(house).await.is_sound(), "{what}");
}

#[tokio::test]
async fn i1_the_signature_of_another_grant_starts_nothing() {
    let house = House::new().await;
    let first = house.granted("mei", "mark it", "boss").await;
    let second = house.granted("ann", "announce hello", "boss").await;
    house
        .db
        .tamper(&format!(
            "update run_grant g set statement = o.statement, signature = o.signature from run_grant o
             where g.run = {} and o.run = {}",
            second.run, first.run
        ))
        .await;
    let engine = house.engine();
    let why = house.failure(second.run).await;
    house.settled(first.run).await;
    engine.stop().await;
    assert_eq!(why, "the approval was signed for another number than stands beside it");
    assert_eq!(house.done().len(), 1, "the sound one ran");
}

/// Signs what stands beside a run's grant with a key of one's own, whose row one writes too.
async fn forge(house: &House, asked: Asked) -> PublicKey {
    let thief = Signer::from_pkcs8(&pkcs8(&Zeroizing::new([9; 32]))).expect("a key");
    let text = house
        .texts(format!("select convert_from(statement, 'UTF8') from run_grant where run = {}", asked.run))
        .await
        .remove(0);
    let mut statement: Statement = serde_json::from_str(&text).expect("a statement");
    statement.key = thief.public();
    let signed = thief.sign(&statement).expect("signed");
    house
        .db
        .tamper(&format!(
            "insert into signing_key (public, host, added_at, added_by) values ('\\x{key}', 'app-1', now(), 'countersign up');
             update run_grant set signed_by = '\\x{key}', statement = convert_to('{}', 'UTF8'), signature = '\\x{}' where run = {}",
            signed.statement,
            signed.signature,
            asked.run,
            key = thief.public(),
        ))
        .await;
    thief.public()
}

/// The limit that the docs name: who can write the database can write a key as well. The ledger shows it; a setting that
/// names the keys keeps it from starting.
#[tokio::test]
async fn i1_a_key_that_somebody_wrote_into_the_table_is_found_and_can_be_kept_out() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    forge(&house, asked).await;
    let engine = house.engine();
    house.settled(asked.run).await;
    engine.stop().await;
    assert_eq!(house.done().len(), 1, "the table alone does not show it");
    let found = report(&house).await;
    assert!(found.to_string().contains("stands in its table without the `key_added` event"), "{found}");
    assert!(found.to_string().contains("has `"), "{found}");

    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let thief = forge(&house, asked).await;
    let signer = house.store().keyring().signer().expect("a key");
    let trust = Trust { keys: Some(vec![signer.public()]), ..house.store().keyring().trust() };
    house.store().keyring().hold(signer, trust);
    let engine = house.engine();
    let why = house.failure(asked.run).await;
    let sound = house.granted("ann", "announce hello", "boss").await;
    house.settled(sound.run).await;
    engine.stop().await;
    assert_eq!(why, format!("the approval is signed by the key {}, which `trusted_keys` does not name", thief.short()));
    assert_eq!(house.done().len(), 1, "what our own key signed ran");
}

#[tokio::test]
async fn i1_a_key_that_was_rotated_keeps_what_it_signed_and_signs_nothing_more() {
    let house = House::new().await;
    let before = house.granted("mei", "mark it", "boss").await;
    let old = house.store().keyring().signer().expect("a key");
    let (retired, new) = keys::rotate(house.store(), &place(&house), "mei@app-1").await.expect("rotated");
    assert_eq!((retired, new), (old.public(), own(house.store())));
    let after = house.granted("ann", "announce hello", "boss").await;
    let engine = house.engine();
    house.settled(before.run).await;
    house.settled(after.run).await;
    engine.stop().await;
    assert_eq!(house.done().len(), 2);
    let signers = house.texts("select encode(signed_by, 'hex') from run_grant order by id".to_owned()).await;
    assert_eq!(signers, [old.public().to_string(), new.to_string()]);
    let found = report(&house).await;
    assert!(found.is_sound(), "{found}");

    // A process that has not heard of it cannot sign with the old one.
    let trust = house.store().keyring().trust();
    house.store().keyring().hold(old, trust);
    let asked = house.ask("mei", "mark it").await;
    let mut tx = house.store().begin().await.expect("a transaction");
    let request = tx.lock_request(asked.request).await.expect("the request");
    let end = tx.now();
    let give = Give { request: &request, why: Why::Agreed(&[]), start_by: end, valid_until: end };
    let refused = approval::give(&mut tx, give).await.expect_err("it signs no more");
    assert!(matches!(refused, StoreError::Moved { .. }), "{refused}");
    drop(tx);
    // What an earlier backup of its private half would sign now is refused by its time.
    house.store().keyring().change(house.store().keyring().signer().expect("a key"));
    assert_eq!(house.count(&format!("run_grant where run = {}", asked.run)).await, 0);
}

#[tokio::test]
async fn i1_keys_may_change_while_people_decide() {
    // A runbook each: what one person asks for of the same runbook with other words takes the place of what waited.
    let runbooks: Vec<(String, String)> = (0..12)
        .map(|number| {
            let step = format!("steps: [{{name: Say, run: {{command: [./note.sh, SIDE/done, n{number}]}}}}]");
            let text = format!(
                "runbook: tell-{number}\ntitle: Tell\nsay: ['tell n{number}']\nsystem: shop\napproval: one\n{step}\n"
            );
            (format!("tell-{number}.yaml"), text)
        })
        .collect();
    let more: Vec<(&str, &str)> = runbooks.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let house = House::with(&more).await;
    let mut asked = Vec::new();
    for number in 0..12 {
        asked.push(house.ask(if number % 2 == 0 { "mei" } else { "ann" }, &format!("tell n{number}")).await);
    }
    let place = place(&house);
    let rotating = async {
        for _ in 0..4 {
            keys::rotate(house.store(), &place, "mei@app-1").await.expect("rotated");
        }
    };
    let deciding = futures_util::future::join_all(
        asked.iter().map(|asked| async { house.say("boss", &format!("approve {}", asked.code)).await }),
    );
    tokio::join!(rotating, deciding);
    assert_eq!(house.count("run_grant").await, 12, "every decision was answered and counted");
    assert_eq!(house.count("signing_key where retired_at is null").await, 1);
    let engine = house.engine();
    for asked in &asked {
        house.settled(asked.run).await;
    }
    engine.stop().await;
    assert_eq!(house.done().len(), 12);
    let found = report(&house).await;
    assert!(found.is_sound(), "{found}");
}

#[tokio::test]
async fn i1_two_processes_each_have_a_key_and_trust_each_other() {
    let house = House::new().await;
    let other = house.db.another_store().await;
    hold_key(&other, &house.ledger).await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let worker = house.another_worker().await;
    let engine = house.engine_of(other.clone(), worker, LEASE);
    house.settled(asked.run).await;
    engine.stop().await;
    assert_eq!(house.done().len(), 1, "signed by one, executed by the other");
    assert_ne!(own(house.store()), own(&other));
    let stolen = keys::retire(house.store(), &own(&other).to_string()[..12], "mei@app-1", "its disk was sold").await;
    assert_eq!(stolen.expect("retired"), own(&other));
    let again =
        keys::retire(house.store(), &own(&other).to_string(), "mei@app-1", "once more").await.expect_err("over");
    let mine =
        keys::retire(house.store(), &own(house.store()).to_string(), "mei@app-1", "x").await.expect_err("in use");
    let nobody = keys::retire(house.store(), "zz", "mei@app-1", "x").await.expect_err("none");
    let said = [again, mine, nobody].map(|error| error.to_string().replace(&own(&other).short(), "OTHER"));
    let said = said.map(|text| text.replace(&own(house.store()).short(), "OWN"));
    insta::assert_snapshot!(said.join("\n"), @"
    the key OTHER was retired before
    this bot signs with the key OWN: `countersign keys rotate` gives it another and retires this one
    the ledger knows no key zz: `countersign keys list` shows them
    ");
    assert!(report(&house).await.is_sound());
}

/// A data directory's key through starts, a loss and a retirement.
#[tokio::test]
async fn i8_a_key_is_kept_in_its_file_and_a_lost_one_is_replaced() {
    let house = House::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let place = keys::Place { data: folder.path().to_owned(), host: "app-2".to_owned() };
    let trust = house.store().keyring().trust();
    let open = async || keys::open(house.store(), &place, trust.clone()).await.expect("a key");
    let first = open().await;
    assert_eq!(first.origin, keys::Origin::Made { others: Vec::new() });
    assert_eq!(open().await, keys::Opened { key: first.key, origin: keys::Origin::Found });
    let before = house.granted("mei", "mark it", "boss").await;
    let file = folder.path().join(keys::FILE);
    let private = std::fs::read(&file).expect("the file");
    std::fs::remove_file(&file).expect("lost");
    let second = open().await;
    assert_eq!(second.origin, keys::Origin::Made { others: vec![first.key] });
    assert_ne!(second.key, first.key);
    // What the lost one signed still starts.
    let engine = house.engine();
    house.settled(before.run).await;
    engine.stop().await;
    assert_eq!(house.done().len(), 1);
    keys::retire(house.store(), &first.key.to_string(), "mei@app-2", "lost").await.expect("retired");
    // An old copy of the file comes back: it is not used again.
    std::fs::write(&file, &private).expect("written");
    let third = open().await;
    assert_eq!(third.origin, keys::Origin::Replaced(first.key));
    assert!(third.key != first.key && third.key != second.key);
    // The private halves are nowhere in the database.
    let seeds = [private, std::fs::read(&file).expect("the file")].map(|der| hex(&der[16..]));
    for (table, rows) in house.every_row().await {
        for row in rows {
            assert!(seeds.iter().all(|seed| !row.contains(seed.as_str())), "{table}");
        }
    }
    assert!(report(&house).await.is_sound());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn i11_every_change_of_a_signature_or_a_key_is_found() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    keys::rotate(house.store(), &place(&house), "mei@app-1").await.expect("rotated");
    house.granted("ann", "announce hello", "boss").await;
    let engine = house.engine();
    house.settled(asked.run).await;
    engine.stop().await;
    let sound = report(&house).await;
    assert!(sound.is_sound(), "{sound}");
    house.db.keep().await;
    let mut missed = Vec::new();
    for (sql, says) in [
        ("update run_grant set signature = decode(repeat('00', 64), 'hex') where id = 1", "signature"),
        ("update run_grant set statement = statement || ' '::bytea where id = 1", "statement"),
        ("update run_grant set signed_by = (select signed_by from run_grant where id = 2) where id = 1", "signed_by"),
        ("update run_grant set signed_by = null, statement = null, signature = null where id = 1", "signed_by"),
        ("update run_grant set expires_at = expires_at + interval '1 h' where id = 1", "expires_at"),
        ("update run_grant set run = 2 where id = 1", "`run`"),
        ("update signing_key set host = 'elsewhere'", "host"),
        ("update signing_key set added_by = 'zed'", "added_by"),
        ("update signing_key set added_at = added_at - interval '1 day'", "added_at"),
        ("update signing_key set retired_at = null, retired_by = null, retired_why = null", "retired_at"),
        ("update signing_key set retired_by = 'zed' where retired_at is not null", "retired_by"),
        ("update signing_key set retired_why = 'zed' where retired_at is not null", "retired_why"),
        (
            "update signing_key set retired_at = now(), retired_by = 'zed', retired_why = 'x' where retired_at is null",
            "retired_at",
        ),
        ("KEY delete from signing_key where retired_at is not null", "is missing from its table"),
        (
            "insert into signing_key (public, host, added_at, added_by) values (sha256('x'), 'app-1', now(), 'x')",
            "key_added",
        ),
        // In the log itself; the chain shows it as well.
        (
            "update event_body set body = convert_to(replace(convert_from(body, 'UTF8'), '\"account\":\"local:trial:boss\"',
                '\"account\":\"local:trial:boss2\"'), 'UTF8')
             where event = (select min(id) from event where kind = 'decided')",
            "the decisions are not those that it was signed for",
        ),
        (
            "update event_body set body = convert_to(replace(convert_from(body, 'UTF8'), '\"valid_until\":\"2', '\"valid_until\":\"3'),
                'UTF8')
             where event = (select min(id) from event where kind = 'request_granted')",
            "its signature is for another end",
        ),
        (
            "update event_body set body = convert_to(regexp_replace(convert_from(body, 'UTF8'), ',\"signed\":[{].*[}][}]', '}'),
                'UTF8')
             where event = (select max(id) from event where kind = 'request_granted')",
            "it bears no signature",
        ),
        (
            "update event_body set body = convert_to(replace(convert_from(body, 'UTF8'), '\"signature\":\"', '\"signature\":\"00'),
                'UTF8')
             where event = (select min(id) from event where kind = 'request_granted')",
            "cannot be read",
        ),
    ] {
        house.db.restore().await;
        house.db.tamper(&sql.replace("KEY", UNBOUND)).await;
        let found = verify(house.store(), &[]).await.expect("it can be read");
        if found.is_sound() || !found.to_string().contains(says) {
            missed.push(format!("{sql}\n{found}"));
        }
    }
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
}

/// The list of who did what, over a bit of everything.
#[tokio::test]
async fn i7_the_list_of_who_did_what_shows_both_sides_and_finds_who_is_on_both() {
    let house = House::new().await;
    house.say("mei", "look at shop").await;
    let ran = house.granted("mei", "mark it", "boss").await;
    let denied = house.ask("mei", "announce hello").await;
    house.say("lin", &format!("deny {} because not now", denied.code)).await;
    let two = house.ask("ann", "agree twice").await;
    house.say("kim", &format!("approve {}", two.code)).await;
    house.say("boss", &format!("approve {}", two.code)).await;
    let engine = house.engine();
    house.settled(ran.run).await;
    house.settled(two.run).await;
    engine.stop().await;
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    let listed = segregation(house.store(), None, None).await.expect("it can be read");
    assert_eq!((listed.runs.len(), listed.violations()), (3, 0), "{listed}");
    insta::assert_snapshot!(stable(&listed.to_string()), @"
    Segregation of duties: 3 privileged runs of all time, ledger HASH.
    Read up to HASH; `countersign audit verify --head HASH` says whether that is whole.
    This is a trial's ledger: one person may have spoken as several, so it proves nothing about people.

    Run 2 · DAY TIME UTC · mark it on shop (production) · succeeded
      runbook    mark-it · plan HASH
      requesters mei · by local:trial:mei
      author     not known
      request    CODE · start · granted
      approver   boss · local:trial:boss · stage 1 · chat · DAY TIME UTC
      executor   vm · worker 1

    Run 3 · DAY TIME UTC · announce hello on shop (production) · denied
      runbook    say-words · plan HASH
      requesters mei · by local:trial:mei
      author     not known
      request    CODE · start · denied
      approver   nobody
      executor   nothing was started

    Run 4 · DAY TIME UTC · agree twice on shop (production) · succeeded
      runbook    agree-twice · plan HASH
      requesters ann · by local:trial:ann
      author     not known
      request    CODE · start · granted
      approver   kim · local:trial:kim · stage 1 · chat · DAY TIME UTC
      approver   boss · local:trial:boss · stage 1 · chat · DAY TIME UTC
      executor   vm · worker 1

    No violation: nobody who asked counts among those who agreed.
    ");

    // Within a time.
    let now = house.store().clock().now();
    let later = segregation(house.store(), Some(now), None).await.expect("it can be read");
    let earlier = segregation(house.store(), None, Some(now)).await.expect("it can be read");
    assert_eq!((later.runs.len(), earlier.runs.len()), (0, 3));

    // It reads events and no state: changed tables show nothing, changed events do.
    house.db.tamper("update decision set account = 'local:trial:mei'").await;
    let listed = segregation(house.store(), None, None).await.expect("it can be read");
    assert_eq!(listed.violations(), 0);
    house
        .db
        .tamper(
            "update event_body set body = convert_to(replace(convert_from(body, 'UTF8'), '\"boss\"', '\"mei\"'), 'UTF8')
             where event in (select id from event where run = 2 and kind in ('decided', 'request_granted'));
             update event_body set body = convert_to(replace(convert_from(body, 'UTF8'), 'local:trial:kim', 'local:trial:ann'), 'UTF8')
             where event in (select id from event where kind = 'decided')",
        )
        .await;
    let listed = segregation(house.store(), None, None).await.expect("it can be read");
    let found: Vec<_> = listed.runs.iter().flat_map(|run| &run.violations).collect();
    let found: Vec<String> = found.iter().map(|one| format!("{}: {}", one.kind, one.text)).collect();
    insta::assert_snapshot!(stable(&found.join("\n")), @"
    own_approval: mei asked for it and counts among those who agreed to CODE.
    same_account: kim approved CODE by local:trial:ann, the account that asked for it.
    ");
    let json = serde_json::to_string(&listed).expect("JSON");
    assert_eq!(serde_json::from_str::<countersign::ledger::Segregation>(&json).expect("reads back"), listed);
    assert_ne!(listed.runs[0].digest, Digest([0; 32]));
}

/// Without what is different each time.
fn stable(text: &str) -> String {
    let hexadecimal = |word: &str| word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = |word: &str| {
        let bare = word.trim_end_matches(['.', ';', ',', ':', ')', '`', '\n', ' ']);
        let tail = &word[bare.len()..];
        let is_code = bare.len() == 4 && bare.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        let is_time = bare.len() == 8 && bare.bytes().filter(|byte| *byte == b':').count() == 2;
        let is_day = bare.len() == 10 && bare.bytes().filter(|byte| *byte == b'-').count() == 2;
        match bare {
            _ if bare.split(':').next_back().is_some_and(hexadecimal) => format!("HASH{tail}"),
            "HEAD" => word.to_owned(),
            _ if is_code => format!("CODE{tail}"),
            _ if is_time => format!("TIME{tail}"),
            _ if is_day => format!("DAY{tail}"),
            _ => word.to_owned(),
        }
    };
    text.split_inclusive([' ', '\n']).map(word).collect()
}
