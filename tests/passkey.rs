//! What wants a passkey: adding one, being sent to a page, deciding there; and everything that is not a decision.

#[path = "passkey/pages.rs"]
mod pages;
#[path = "passkey/proof.rs"]
mod proof;
mod support;

use reqwest::StatusCode;
use serde_json::Value;
use support::authenticator::{Authenticator, data, form};
use support::bot::{Bot, plain};
use support::passkeys::{World, catalog, events, policy, sentence};
use support::world::{Catalog, step};

#[tokio::test]
async fn a_passkey_is_added_by_an_invitation_alone_and_an_invitation_works_once() {
    let world = World::start(catalog(1)).await;
    let (done, said) = world.operator(&["invite", "nobody"]).await;
    assert!(!done);
    insta::assert_snapshot!(said, @"countersign: the catalog knows no person of that name; people.yaml lists them");
    insta::assert_snapshot!(world.operator(&["list"]).await.1, @"No passkeys. `countersign passkey invite PERSON` prints a link to add one.");

    // An invitation that is followed by another is over.
    let first = world.invite("boss").await;
    let link = world.invite("boss").await;
    assert_eq!(world.get(&first).await.status(), StatusCode::GONE);

    // Looking consumes nothing.
    for _ in 0..3 {
        let page = world.page(&link).await;
        assert!(page.contains("Add a passkey for boss") && page.len() < 30_000, "{} bytes", page.len());
    }
    let mut authenticator = Authenticator::new(&world.origin);
    let page = world.page(&link).await;

    // What is not made as it should adds nothing.
    let post = async |change: &mut dyn FnMut(&mut Authenticator)| {
        let mut other = Authenticator::new(&world.origin);
        change(&mut other);
        let (status, page) = world.post(&link, &other.make(&page, "x")).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        sentence(&page)
    };
    insta::assert_snapshot!(post(&mut |other| other.verifies = false).await, @"Nothing was added. Why: the passkey did not ask who you are: set a PIN, a fingerprint or a face for it.");
    insta::assert_snapshot!(post(&mut |other| other.origin = "https://evil.example".to_owned()).await, @"Nothing was added. Why: the passkey was used on another page than this one.");
    let (status, page_without) = world.post(&link, &[]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    insta::assert_snapshot!(sentence(&page_without), @"That form lacks what a passkey says. Open the page again, in a browser that runs its script.");
    assert_eq!(
        world.operator(&["list"]).await.1,
        "No passkeys. `countersign passkey invite PERSON` prints a link to add one."
    );

    let fields = authenticator.make(&page, "  my \n phone ");
    let (status, added) = world.post(&link, &fields).await;
    assert_eq!(status, StatusCode::OK, "{added}");
    insta::assert_snapshot!(sentence(&added), @"my phone is a passkey of boss now, number 1. When you say `approved` to what needs it, you are sent a page. Is it lost one day, tell an operator: `countersign passkey remove 1`.");
    // The same again, and another by the same invitation.
    let (status, again) = world.post(&link, &fields).await;
    assert_eq!(status, StatusCode::GONE);
    insta::assert_snapshot!(sentence(&again), @"This invitation was used: a passkey of boss's was added with it. Ask an operator for another: `countersign passkey invite`.");
    assert_eq!(world.get(&link).await.status(), StatusCode::GONE);

    // The same passkey by another invitation.
    let another = world.invite("lin").await;
    let page = world.page(&another).await;
    let (status, known) = world.post(&another, &authenticator.make(&page, "mine")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    insta::assert_snapshot!(sentence(&known), @"Nothing was added. This invitation was used meanwhile, or that passkey is known already.");

    let (_, list) = world.operator(&["list"]).await;
    assert!(list.starts_with("1  boss  my phone  added "), "{list}");
    assert!(list.ends_with("never used"), "{list}");
    let (_, json) = world.operator(&["list", "--person", "boss", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON")["name"], "my phone");
    assert_eq!(world.operator(&["remove", "1"]).await, (true, "Passkey 1 is removed.".to_owned()));
    let (done, said) = world.operator(&["remove", "1"]).await;
    assert!(!done);
    insta::assert_snapshot!(said, @"countersign: there is no passkey of that number in use; `countersign passkey list` shows them");
    assert!(world.operator(&["list"]).await.1.contains(", removed "));

    let kinds = ["passkey_invited", "passkey_added", "passkey_removed"];
    let mut counts = Vec::new();
    for kind in kinds {
        counts.push(world.events(kind).await.len());
    }
    assert_eq!(counts, [3, 1, 1]);
    // No address stands in the ledger or in the log.
    let secret = link.rsplit('/').next().expect("a secret");
    assert!(!world.bot.log().contains(secret));
    world.bot.finish().await;
}

#[tokio::test]
async fn the_listener_serves_those_pages_and_nothing_else() {
    let (world, [_]) = World::with(catalog(1), ["boss"]).await;
    for path in [
        "",
        "/",
        "/decide",
        "/decide/",
        "/decide/x",
        "/passkey/x",
        "/healthz",
        "/metrics",
        "/api/v1/passkeys",
        "/enter",
        "/assets/x",
    ] {
        let response = world.get(&format!("{}{path}", world.origin)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let nobody = format!("{}/decide/{}", world.origin, "A".repeat(43));
    assert_eq!(world.get(&nobody).await.status(), StatusCode::NOT_FOUND);
    let (status, _) = world.post(&nobody, &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(world.http.put(&nobody).send().await.expect("an answer").status(), StatusCode::METHOD_NOT_ALLOWED);
    let (status, _) = world.post(&nobody, &[("x".to_owned(), "y".repeat(40_000))]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);

    world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let response = world.get(&link).await;
    let headers = response.headers().clone();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!((header("referrer-policy").as_str(), header("cache-control").as_str()), ("no-referrer", "no-store"));
    assert!(header("set-cookie").is_empty());
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    let page = response.text().await.expect("a page");
    assert!(page.len() < 30_000, "{} bytes", page.len());
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing from elsewhere: {page}");
    world.bot.say("mei", "withdraw").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn whoever_approves_is_sent_to_a_page_of_their_own_and_decides_there() {
    let (world, [mut boss]) = World::with(catalog(1), ["boss"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, reply) = world.sent("boss", "approved").await;
    insta::assert_snapshot!(plain(&reply.text().replace(&link, "LINK")), @"(to boss) CODE is not approved yet: it needs your passkey. Decide at LINK until TIME. The link is for you alone and works once. To deny, `deny CODE because …` is enough.");
    assert!(reply.told.iter().all(|told| told.only_to.as_deref() == Some("boss")), "nobody else reads it");

    // A link preview, however often.
    for _ in 0..3 {
        let page = world.page(&link).await;
        assert!(page.contains("./step.sh one ok") || page.contains("step.sh"), "the whole plan: {page}");
        assert!(page.contains("mei") && page.contains(&run.code()) && page.contains("<noscript>"), "{page}");
    }
    world.bot.until_run(run.run(), "awaiting_approval").await;

    let page = world.page(&link).await;
    let fields = boss.sign(form(&page, "value=\"approve\""), "approve");
    let (status, page) = world.post(&link, &fields).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    insta::assert_snapshot!(plain(&sentence(&page)), @"CODE is granted: it runs now, and the room tells how it goes.");
    world.bot.until_run(run.run(), "succeeded").await;
    assert_eq!(world.bot.effects(), ["one"]);

    // The same form again; the same page in another browser.
    let (status, page) = world.post(&link, &fields).await;
    assert_eq!(status, StatusCode::GONE);
    insta::assert_snapshot!(plain(&sentence(&page)), @"This page was used at TIME, to approve CODE. It works once. Nothing was decided just now.");
    let again = world.get(&link).await;
    assert_eq!(again.status(), StatusCode::GONE);
    let again = again.text().await.expect("a page");
    assert!(!again.contains("step.sh"), "a page that is over shows no plan: {again}");
    assert_eq!(world.bot.effects(), ["one"]);

    let rest = world.bot.rest().await;
    assert!(rest.contains("boss approved"), "{rest}");
    // What was signed stands in the ledger, and no address of a page.
    let used = world.events("passkey_used").await;
    assert_eq!((used.len(), &used[0]["what"]["answer"]), (1, &Value::from("approve")), "{used:?}");
    let secret = link.rsplit('/').next().expect("a secret");
    let counted = async |sql: String| -> i64 {
        let mut connection = world.bot.db().connection().await;
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("a number")
    };
    let in_ledger = format!("select count(*) from event_body where position('{secret}'::bytea in body) > 0");
    assert_eq!(counted(in_ledger).await, 0);
    // Nor, soon, in the outbox.
    support::until("the address is forgotten", async || {
        let kept = counted(format!("select count(*) from outbox where message like '%{secret}%'")).await;
        (kept == 0).then_some(())
    })
    .await;
    assert!(!world.bot.log().contains(secret));
    world.bot.finish().await;
}

#[tokio::test]
async fn a_page_that_was_passed_on_decides_nothing() {
    let (world, [mut boss, mut lin]) = World::with(catalog(1), ["boss", "lin"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let approve = form(&page, "value=\"approve\"").to_owned();
    // lin may approve as well, but this page is boss's.
    let (status, refused) = world.post(&link, &lin.sign(&approve, "approve")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    insta::assert_snapshot!(sentence(&refused), @"That passkey is not boss's, and this page is for boss alone. Nothing was decided.");

    let refused = async |fields: Vec<(String, String)>| {
        let (status, page) = world.post(&link, &fields).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{page}");
        sentence(&page)
    };
    // Signed for denying, sent as approving.
    let deny = form(&page, "value=\"deny\"").to_owned();
    insta::assert_snapshot!(refused(boss.sign(&deny, "approve")).await, @"Nothing was decided. Why: the passkey has signed another question than this one.");
    // Signed for another page of the same request.
    let (other, _) = world.sent("lin", "approved").await;
    let others = world.page(&other).await;
    insta::assert_snapshot!(refused(boss.sign(form(&others, "value=\"approve\""), "approve")).await, @"Nothing was decided. Why: the passkey has signed another question than this one.");
    // Touched by somebody whom the passkey does not know; on a page that only looks like this one.
    boss.verifies = false;
    insta::assert_snapshot!(refused(boss.sign(&approve, "approve")).await, @"Nothing was decided. Why: the passkey did not ask who you are: set a PIN, a fingerprint or a face for it.");
    boss.verifies = true;
    boss.origin = "https://evil.example".to_owned();
    insta::assert_snapshot!(refused(boss.sign(&approve, "approve")).await, @"Nothing was decided. Why: the passkey was used on another page than this one.");
    world.origin.clone_into(&mut boss.origin);
    // A passkey that counts backwards.
    boss.count = 0;
    let (known,): (i64,) =
        sqlx::query_as("update passkey set sign_count = 7 where person = 'boss' returning sign_count")
            .fetch_one(&mut world.bot.db().connection().await)
            .await
            .expect("a passkey");
    assert_eq!(known, 7);
    let mut bot = world.bot;
    bot.expect_error("a passkey may have been copied");
    let world = World { bot, ..world };
    let post = async |fields: Vec<(String, String)>| {
        let (status, page) = world.post(&link, &fields).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{page}");
        sentence(&page)
    };
    insta::assert_snapshot!(post(boss.sign(&approve, "approve")).await, @"Nothing was decided. Why: the passkey counts 0 uses and had counted 7: somebody may have copied it.");
    // One that was removed.
    boss.count = 8;
    world.operator(&["remove", "1"]).await;
    insta::assert_snapshot!(post(boss.sign(&approve, "approve")).await, @"That passkey was removed. Nothing was decided. Use another, or ask an operator for an invitation.");
    assert_eq!(world.events("passkey_used").await.len(), 0);
    assert_eq!(world.events("decided").await.len(), 0);

    // lin's own page is lin's.
    let (status, page) = world.post(&other, &lin.sign(form(&others, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    world.bot.until_run(run.run(), "succeeded").await;
    // Decided meanwhile: boss's page says so.
    let late = world.get(&link).await;
    assert_eq!(late.status(), StatusCode::GONE);
    insta::assert_snapshot!(plain(&sentence(&late.text().await.expect("a page"))), @"CODE is granted already. Nothing was decided just now.");
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn a_page_that_was_asked_for_again_or_is_too_old_is_over() {
    let (world, [mut boss]) = World::with(catalog(1), ["boss"]).await;
    world.bot.say("mei", "roll out").await.waiting();
    let (first, _) = world.sent("boss", "approved").await;
    let page = world.page(&first).await;
    let (second, _) = world.sent("boss", "approved").await;
    assert_ne!(first, second);
    let (status, over) = world.post(&first, &boss.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::GONE);
    insta::assert_snapshot!(plain(&sentence(&over)), @"This page is over. Say `approve CODE` where you were asked for a new one. Nothing was decided just now.");
    let page = world.page(&second).await;
    sqlx::query(
        "update decision_link set made_at = made_at - interval '1 hour', expires_at = expires_at - interval '1 hour'",
    )
    .execute(&mut world.bot.db().connection().await)
    .await
    .expect("older");
    let (status, _) = world.post(&second, &boss.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::GONE);
    assert_eq!(world.events("passkey_used").await.len(), 0);
    world.bot.say("mei", "withdraw").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn denying_takes_a_word_in_the_room_and_a_passkey_on_the_page() {
    let (world, [mut boss]) = World::with(catalog(1), ["boss"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let mut fields = boss.sign(form(&page, "value=\"deny\""), "deny");
    fields.push(("reason".to_owned(), "not\n tonight".to_owned()));
    let (status, page) = world.post(&link, &fields).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    insta::assert_snapshot!(plain(&sentence(&page)), @"CODE is denied: nothing runs.");
    world.bot.until_run(run.run(), "denied").await;
    let rest = world.bot.rest().await;
    assert!(rest.contains("not tonight"), "{rest}");

    let run = world.bot.say("mei", "roll out").await.waiting();
    world.bot.say("boss", "deny because no").await.done();
    world.bot.until_run(run.run(), "denied").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

/// A reason that no line can hold is refused before the page is used up; in fewer words it is kept whole.
#[tokio::test]
async fn a_reason_that_is_too_long_is_refused_and_the_page_goes_on() {
    let (world, [mut boss]) = World::with(catalog(1), ["boss"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let deny = form(&page, "value=\"deny\"");
    for (reason, expected) in
        [("\u{1f525}".repeat(600), StatusCode::BAD_REQUEST), ("\u{1f525}".repeat(480), StatusCode::OK)]
    {
        let mut fields = boss.sign(deny, "deny");
        fields.push(("reason".to_owned(), reason.clone()));
        let (status, page) = world.post(&link, &fields).await;
        assert_eq!(status, expected, "{page}");
        if status == StatusCode::OK {
            assert_eq!(world.events("decided").await[0]["what"]["reason"], reason.as_str());
        } else {
            insta::assert_snapshot!(sentence(&page), @"That reason is too long. Nothing was decided. Go back and say it in fewer words.");
        }
    }
    world.bot.until_run(run.run(), "denied").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn two_who_must_agree_each_have_a_page_and_a_passkey() {
    let (world, [mut boss, mut lin]) = World::with(catalog(2), ["boss", "lin"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let mut said = Vec::new();
    for (name, authenticator) in [("boss", &mut boss), ("lin", &mut lin)] {
        let (link, _) = world.sent(name, "approved").await;
        let page = world.page(&link).await;
        let (status, page) = world.post(&link, &authenticator.sign(form(&page, "value=\"approve\""), "approve")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        said.push(plain(&sentence(&page)));
    }
    insta::assert_snapshot!(said.join("\n"), @"
    boss's answer to CODE counts: 1 of 2. It still needs 1 more person.
    CODE is granted: it runs now, and the room tells how it goes.
    ");
    world.bot.until_run(run.run(), "succeeded").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn many_answers_to_one_page_are_one_decision() {
    let (world, [mut boss]) = World::with(catalog(1), ["boss"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let forms: Vec<_> = (0..8).map(|_| boss.sign(form(&page, "value=\"approve\""), "approve")).collect();
    let answers = futures_util::future::join_all(forms.iter().map(|fields| world.post(&link, fields))).await;
    let done = answers.iter().filter(|(status, _)| *status == StatusCode::OK).count();
    assert_eq!(done, 1, "{:?}", answers.iter().map(|(status, _)| status).collect::<Vec<_>>());
    world.bot.until_run(run.run(), "succeeded").await;
    assert_eq!(world.bot.effects(), ["one"]);
    assert_eq!((world.events("passkey_used").await.len(), world.events("decided").await.len()), (1, 1));
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn without_a_page_or_a_passkey_nobody_falls_back_to_chat() {
    let bot = Bot::start(catalog(1)).await;
    assert_eq!(bot.rest().await, "", "the operator is told, not the rooms");
    assert!(bot.log().contains("wants a passkey"), "{}", bot.log());
    assert_eq!(events(&bot, "catalog_warned").await.len(), 1);
    let run = bot.say("mei", "roll out").await.waiting();
    insta::assert_snapshot!(bot.say("boss", "approved").await.refused().plain(), @"CODE is not approved: it needs a passkey, and this bot has no page for that. Ask an operator to set `decisions` in the settings. To deny, `deny CODE because …` is enough.");
    bot.until_run(run.run(), "awaiting_approval").await;
    bot.say("boss", "deny because no").await;
    bot.rest().await;
    bot.finish().await;

    let world = World::start(catalog(1)).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    insta::assert_snapshot!(world.bot.say("boss", "approved").await.refused().plain(), @"(to boss) CODE is not approved: it needs a passkey, and you have none. Ask an operator for `countersign passkey invite boss`. To deny, `deny CODE because …` is enough.");
    world.bot.until_run(run.run(), "awaiting_approval").await;
    world.bot.say("mei", "withdraw").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn a_reload_that_wants_passkeys_which_nobody_has_is_told_in_the_rooms() {
    let world = World::start(Catalog::made().runbook("roll-out", &[step("one", "ok")])).await;
    world.enrol("boss").await;
    world.bot.rewrite("managers.yaml", &policy(1));
    let told = world.bot.hear("somebody should look at this").await;
    insta::assert_snapshot!(told.text, @"
    The changed catalog is loaded, and somebody should look at this:
    Policy managers wants a passkey (`step_up: true`), and lin has none: `countersign passkey invite PERSON`.
    ");
    world.bot.rest().await;
    world.bot.finish().await;
}

/// Keeps the helper honest: a challenge is 32 bytes, and differs between the two answers.
#[tokio::test]
async fn the_two_answers_of_a_page_are_two_questions() {
    let (world, [_]) = World::with(catalog(1), ["boss"]).await;
    world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let [approve, deny] =
        ["approve", "deny"].map(|answer| data(form(&page, &format!("value=\"{answer}\"")), "challenge").to_owned());
    assert_eq!((approve.len(), deny.len()), (43, 43));
    assert_ne!(approve, deny);
    assert_eq!(
        data(form(&world.page(&link).await, "value=\"approve\""), "challenge"),
        approve,
        "looking changes nothing"
    );
    world.bot.say("mei", "withdraw").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn i11_a_passkey_that_was_planted_moved_or_brought_back_is_found() {
    let (world, [_, _]) = World::with(catalog(1), ["boss", "lin"]).await;
    world.operator(&["remove", "2"]).await;
    world.bot.quiet().await;
    let db = world.bot.db();
    let mut found = String::new();
    for (change, back) in [
        ("update passkey set person = 'mei' where id = 1", "update passkey set person = 'boss' where id = 1"),
        (
            "update passkey set public_key = '\\x00' || public_key where id = 1",
            "update passkey set public_key = substr(public_key, 2) where id = 1",
        ),
        (
            "create table kept_removed as select removed_at from passkey where id = 2; update passkey set removed_at = null where id = 2",
            "update passkey set removed_at = (select removed_at from kept_removed) where id = 2; drop table kept_removed",
        ),
        (
            "insert into passkey (person, credential, public_key, sign_count, may_be_copied, name, added_at)
                values ('boss', '\\x01', '\\x02', 0, false, 'mine', now())",
            "delete from passkey where credential = '\\x01'",
        ),
    ] {
        db.tamper(change).await;
        let report = countersign::ledger::verify(&db.store, &[]).await.expect("it can be verified");
        assert!(!report.is_sound(), "{change}");
        for finding in &report.findings {
            let text = finding.to_string();
            // Keys and times differ from run to run.
            let words = text.split_whitespace().filter(|word| word.len() < 16).collect::<Vec<_>>().join(" ");
            found.push_str(&format!("{}\n", plain(words.split(';').next().unwrap_or_default())));
        }
        db.tamper(back).await;
    }
    insta::assert_snapshot!(found, @"
    passkey/1 has `mei` in `person`
    passkey/1 has in `public_key`
    passkey/2 has nothing in `removed_at`
    passkey/3 stands in its table without the `passkey_added` event that would tell of it.
    ");
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn the_doctor_says_whether_the_page_is_reached_and_who_has_no_passkey() {
    let (world, [_]) = World::with(catalog(1), ["boss"]).await;
    insta::assert_snapshot!(world.doctor(&world.bot.settings()).await, @"
    ok     decisions: the pages for passkeys answer at ORIGIN
    note   passkeys: Policy managers wants a passkey (`step_up: true`), and lin has none: `countersign passkey invite PERSON`
    ");
    world.enrol("lin").await;
    insta::assert_snapshot!(world.doctor(&world.bot.settings()).await, @"
    ok     decisions: the pages for passkeys answer at ORIGIN
    ok     passkeys: policy managers wants one, and everybody whom it asks has one
    ");

    // The pages are served, and what browsers are sent to is something else: here the bot's own pages.
    let elsewhere = world.bot.side("elsewhere.yaml");
    let port = world.origin.rsplit(':').next().expect("a port");
    let bots = world.bot.url().replace("127.0.0.1", "localhost");
    std::fs::write(&elsewhere, format!("decisions: {{listen: '127.0.0.1:{port}', url: '{bots}'}}\n")).expect("a file");
    insta::assert_snapshot!(plain(&world.doctor(&elsewhere).await).replace(&bots, "ELSEWHERE"), @"
    wrong  decisions: ELSEWHERE does not lead to the pages for passkeys (what answers there says 401 Unauthorized): whoever is sent there cannot approve. Does something pass it on to `decisions: listen`?
    ok     passkeys: policy managers wants one, and everybody whom it asks has one
    ");
    std::fs::write(&elsewhere, "{}\n").expect("a file");
    insta::assert_snapshot!(world.doctor(&elsewhere).await, @"
    wrong  decisions: Policy managers wants a passkey (`step_up: true`) and there is no page for it: nobody can approve. Set `decisions: {listen: …, url: …}` in the settings
    ok     passkeys: policy managers wants one, and everybody whom it asks has one
    ");
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn a_page_that_nobody_can_reach_is_told_of_at_start_and_after_a_reload() {
    let world = World::somewhere_else(Catalog::made().runbook("roll-out", &[step("one", "ok")])).await;
    assert_eq!(world.events("catalog_warned").await.len(), 0, "no policy wants a passkey");
    world.bot.rewrite("managers.yaml", &policy(1));
    let told = world.bot.hear("does not lead to the page").await;
    let origin = &world.origin;
    assert!(
        told.text.contains(&format!("Policy managers wants a passkey (`step_up: true`), and {origin} does not lead")),
        "{}",
        told.text
    );
    world.bot.rest().await;
    let mut world = world;
    world.bot.kill().await;
    world.bot.restart().await;
    support::until("the operator is told", async || {
        let warned = world.events("catalog_warned").await;
        warned.iter().filter(|event| event.to_string().contains("does not lead to the page")).nth(1).map(drop)
    })
    .await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn a_reason_that_was_given_in_the_room_is_on_the_page_and_goes_with_the_decision() {
    let wants = policy(1).replace("step_up: true", "step_up: true\n    reason: required");
    let (world, [mut boss]) = World::with(catalog(1).file("managers.yaml", &wants), ["boss"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let said = world.bot.say("boss", "approved").await.refused().plain();
    assert!(said.contains("wants a reason"), "{said}");
    let (link, _) = world.sent("boss", "approved because it \"fits\"").await;
    let page = world.page(&link).await;
    let approve = form(&page, "value=\"approve\"");
    assert!(approve.contains("value=\"it &quot;fits&quot;\"") && approve.contains("required"), "{approve}");
    let mut fields = boss.sign(approve, "approve");
    fields.push(("reason".to_owned(), "it \"fits\"".to_owned()));
    let (status, page) = world.post(&link, &fields).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    world.bot.until_run(run.run(), "succeeded").await;
    let decided = world.events("decided").await;
    assert_eq!(decided[0]["what"]["reason"], "it \"fits\"", "{decided:?}");
    assert_eq!(decided[0]["what"]["proof"]["passkey"]["credential"].as_str().map(str::len), Some(22), "{decided:?}");
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn an_account_that_became_somebody_elses_decides_nothing_by_the_page_of_whose_it_was() {
    let (world, [mut boss]) = World::with(catalog(1), ["boss"]).await;
    world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let people = std::fs::read_to_string(world.bot.catalog("people.yaml")).expect("a file");
    let changed = people
        .replace("\"local:trial:boss\", \"local:trial:boss2\"", "\"local:trial:boss2\"")
        .replace("[\"local:trial:lin\"]", "[\"local:trial:lin\", \"local:trial:boss\"]");
    world.bot.rewrite("people.yaml", &changed);
    support::until("the catalog is loaded", async || (world.events("catalog_loaded").await.len() == 2).then_some(()))
        .await;
    let (status, page) = world.post(&link, &boss.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    insta::assert_snapshot!(sentence(&page), @"local:trial:boss is not boss's account any more. Nothing was decided.");
    assert_eq!(world.events("passkey_used").await.len(), 0);
    world.bot.say("mei", "withdraw").await;
    world.bot.rest().await;
    world.bot.finish().await;
}
