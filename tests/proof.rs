//! What an auditor asks the real program for: keys and their life, who did what, and many decisions at once over the wire.

mod support;

use std::os::unix::fs::PermissionsExt as _;

use futures_util::future::join_all;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use support::bot::Bot;
use support::world::{Catalog, step};

/// One value from the bot's database.
async fn one<T>(bot: &Bot, sql: String) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut bot.db().connection().await).await.expect("a value")
}

/// A command of the program: exit code, what it printed, what it said went wrong.
async fn command(bot: &Bot, arguments: &[&str]) -> (i32, String, String) {
    let output = bot
        .command(arguments)
        .env("COUNTERSIGN_DATA", bot.data())
        .env("USER", "ops")
        .output()
        .await
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn keys_are_listed_rotated_and_survive_a_loss_and_nothing_shows_the_private_half() {
    let mut bot = Bot::start(Catalog::made().runbook("roll-out", &[step("roll", "ok")])).await;
    let url = bot.url();
    let file = bot.data().join("signing-key.p8");
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let first = std::fs::read(&file).expect("a key");
    let (code, listed, _) = command(&bot, &["keys", "list", "--server", &url]).await;
    assert_eq!(code, 0);
    let key = listed.split(' ').next().expect("a key").to_owned();
    assert!(
        key.len() == 64 && listed.contains("(this bot's)") && listed.contains("made by countersign up"),
        "{listed}"
    );

    let asked = bot.say("mei", "roll out").await.waiting();
    let (code, rotated, wrong) = command(&bot, &["keys", "rotate", "--server", &url]).await;
    assert_eq!((code, wrong.as_str()), (0, ""));
    assert!(
        rotated.ends_with(&format!("signs from now on; {} is retired, and what it signed stays valid.\n", &key[..12]))
    );
    let second = std::fs::read(&file).expect("a key");
    assert_ne!(first, second);
    bot.say("boss", &format!("approve {}", asked.code())).await.done();
    bot.until_run(asked.run(), "succeeded").await;

    let (code, refused, wrong) =
        command(&bot, &["keys", "retire", &rotated[..12], "--because", "a test", "--server", &url]).await;
    assert_eq!((code, refused.as_str()), (1, ""));
    assert!(wrong.contains("this bot signs with the key") && wrong.contains("countersign keys rotate"), "{wrong}");

    // Without the file it starts again with another key, and says so.
    bot.term().await;
    std::fs::remove_file(&file).expect("lost");
    bot.restart().await;
    assert!(bot.log().contains("no signing key was in the data directory"), "{}", bot.log());
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", &format!("approve {}", asked.code())).await.done();
    bot.until_run(asked.run(), "succeeded").await;
    let url = bot.url();
    let (code, listed, _) = command(&bot, &["keys", "list", "--database", bot.db().url()]).await;
    assert_eq!((code, listed.matches("signs on").count(), listed.matches("retired").count()), (0, 3, 1), "{listed}");
    let (code, retired, wrong) =
        command(&bot, &["keys", "retire", &rotated[..12], "--because", "its file is lost", "--server", &url]).await;
    assert_eq!((code, wrong.as_str()), (0, ""));
    assert!(retired.ends_with("signs no more; what it signed before stays valid.\n"), "{retired}");
    let (code, sound, _) = command(&bot, &["audit", "verify", "--server", &url]).await;
    assert!(code == 0 && sound.starts_with("Ledger sound"), "{sound}");

    let third = std::fs::read(&file).expect("a key");
    let (_, exported, _) = command(&bot, &["audit", "export", "--server", &url]).await;
    for private in [first, second, third] {
        let seed: String = private[16..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!bot.log().contains(&seed) && !exported.contains(&seed));
    }
    assert!(exported.contains("key_added") && exported.contains("key_retired"));
    bot.finish().await;
}

#[tokio::test]
async fn who_did_what_is_listed_by_the_bot_and_from_its_database() {
    let bot = Bot::start(Catalog::made().runbook("roll-out", &[step("roll", "ok")])).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", &format!("approve {}", asked.code())).await.done();
    bot.until_run(asked.run(), "succeeded").await;
    bot.quiet().await;
    let (code, text, wrong) = command(&bot, &["audit", "sod", "--server", &bot.url()]).await;
    assert_eq!((code, wrong.as_str()), (0, ""), "{text}");
    for line in ["requesters mei", "approver   boss · local:trial:boss · stage 1 · chat", "executor   ", "No violation"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    let (code, again, _) = command(&bot, &["audit", "sod", "--database", bot.db().url()]).await;
    assert_eq!((code, again), (0, text));
    let (code, json, _) = command(&bot, &["audit", "sod", "--json", "--database", bot.db().url()]).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, json["runs"][0]["requests"][0]["approvers"][0]["counted"].clone()), (0, Value::Bool(true)));
    let range = ["audit", "sod", "--until", "2001-01-01", "--database", bot.db().url()];
    let (code, nothing, _) = command(&bot, &range).await;
    assert!(code == 0 && nothing.contains("0 privileged runs until 2001-01-01 00:00:00 UTC"), "{nothing}");
    let (code, _, wrong) = command(&bot, &["audit", "sod", "--from", "soon", "--database", bot.db().url()]).await;
    assert!(code == 2 && wrong.contains("say a day such as 2026-11-21"), "{wrong}");
    bot.finish().await;
}

#[tokio::test]
async fn only_keys_that_the_settings_name_let_anything_start() {
    let world = Catalog::made().runbook("roll-out", &[step("roll", "ok")]);
    let stranger = "5e".repeat(32);
    let bot = Bot::start_with(world, &format!("trusted_keys: ['{stranger}']\n")).await;
    assert!(bot.log().contains("`trusted_keys` does not name this process's own key"), "{}", bot.log());
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", &format!("approve {}", asked.code())).await;
    bot.until_run(asked.run(), "failed").await;
    assert_eq!(bot.effects(), Vec::<String>::new());
    bot.finish().await;
}

/// Two of forty have to agree, and forty say so at once, with some who are against it.
#[tokio::test(flavor = "multi_thread")]
async fn i1_many_decisions_at_once_over_the_wire_come_to_one_outcome() {
    let names: Vec<String> = (0..40).map(|number| format!("p{number:02}")).collect();
    let mut people = "people:\n  mei: {accounts: ['local:trial:mei']}\n".to_owned();
    for name in &names {
        people += &format!("  {name}: {{accounts: ['local:trial:{name}']}}\n");
    }
    people += &format!("groups:\n  support: [mei]\n  managers: [{}]\n", names.join(", "));
    let policy = "policy: managers\ntitle: Two agree\nstages:\n  - approvers: [group:managers]\n    quorum: 2\n\
                  expires: 30m\nvalid_for: 1h\n";
    let world = Catalog::made()
        .file("people.yaml", &people)
        .file("managers.yaml", policy)
        .runbook("roll-out", &[step("roll", "ok")]);
    let bot = Bot::start(world).await;
    for round in 0..3 {
        let asked = bot.say("mei", "roll out").await.waiting();
        let code = asked.code();
        let lines = names.iter().enumerate().map(|(number, name)| {
            let text = match (number + round * 11) % 40 {
                39 => format!("deny {code} because no"),
                _ => format!("approve {code}"),
            };
            bot.say(name, &text).no_wait().send()
        });
        let withdrawing = bot.say("mei", &format!("withdraw {code}")).no_wait().send();
        let (replies, withdrawn) = futures_util::future::join(join_all(lines), withdrawing).await;
        for reply in replies.into_iter().chain([withdrawn]) {
            let reply = reply.expect("the bot takes the line");
            assert!(!reply.text().is_empty(), "every line is answered");
        }
        let state = support::until("the run is over", async || {
            let state = one::<String>(&bot, format!("select state from run where id = {}", asked.run())).await;
            ["succeeded", "denied", "withdrawn"].contains(&state.as_str()).then_some(state)
        })
        .await;
        let grants = one::<i64>(&bot, format!("select count(*) from run_grant where run = {}", asked.run())).await;
        assert_eq!(grants, i64::from(state == "succeeded"), "{state}");
    }
    bot.check_ledger().await;
    // What the room reads of a race depends on who came first.
    bot.end().await;
}
