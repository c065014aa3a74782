//! I9: who is unknown can only ask who they are, and nothing that was said reaches a shell.

use countersign::model::run::RunState;
use countersign::runbook::load;

use super::house::House;

#[tokio::test]
async fn i9_an_unknown_account_can_do_nothing() {
    let house = House::new().await;
    let waiting = house.ask("mei", "mark it").await;
    let running = house.granted("mei", "both notes", "boss").await;
    let before = house.every_row().await;
    let code = waiting.code;
    let run = running.run;
    for text in [
        "ping".to_owned(),
        "help".into(),
        "help mark-it".into(),
        "is web running".into(),
        "look at shop".into(),
        "mark it".into(),
        "run mark-it".into(),
        "run look-at system=shop".into(),
        "announce hello".into(),
        "again".into(),
        format!("approve {code}"),
        "approved".into(),
        format!("deny {code} because no"),
        format!("withdraw {code}"),
        format!("stop run {run}"),
        format!("judge run {run} worked because so"),
        format!("retry run {run}"),
        "requests".into(),
        format!("show run {run}"),
        format!("show {code}"),
        "run say-words wrods=x".into(),
    ] {
        let said = house.say("zed", &text).await;
        let expected = "zed (local:trial:zed) is not known here. Ask an operator to add you to people.yaml.";
        assert_eq!(said, expected, "`{text}`");
    }
    let said = house.say("zed", "whoami").await;
    assert!(said.starts_with("You are local:trial:zed"), "{said}");
    assert_eq!(house.say("zed", "good morning").await, "", "talk is talk");
    let after = house.every_row().await;
    let may_grow = ["event", "event_body", "unsequenced", "inbox", "outbox"];
    for (table, rows) in &after {
        if !may_grow.contains(&table.as_str()) {
            assert_eq!(rows, &before[table], "{table}");
        }
    }
    let kinds = house.texts("select distinct kind from event where cause > 3".to_owned()).await;
    assert_eq!(kinds, ["line_said"]);
}

/// A person without the right is told so, and nothing is done.
#[tokio::test]
async fn i9_who_may_look_may_not_run() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let runs = house.count("run").await;
    for text in ["mark it", "run both-notes", "announce x"] {
        let said = house.say("vic", text).await;
        assert!(said.starts_with("vic, you may not "), "`{text}`: {said}");
    }
    for text in ["stop", "judge worked because so", "retry"] {
        let said = house.say("vic", &format!("{text} run {}", asked.run).replace("worked because so run", "run")).await;
        assert!(!said.is_empty());
    }
    assert_eq!((house.count("run").await, house.count("request").await), (runs, 1));
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
    house.say("vic", "look at shop").await;
    assert_eq!(house.count("run").await, runs + 1, "and who may look may look");
}

#[tokio::test]
async fn i9_unknown_arguments_and_options_are_refused() {
    let house = House::new().await;
    for text in [
        "run say-words wrods=x",
        "run mark-it extra=1",
        "run say-words words=x force=yes",
        "run say-words words=-rf",
        "run say-words words=\"--help me\"",
        "announce -rf",
        "run say-words words=x words=y",
        "run say-words words=\u{202e}evil",
        "run say-words",
    ] {
        let said = house.say("mei", text).await;
        assert!(!said.is_empty(), "`{text}` is answered");
        assert_eq!((house.count("run").await, house.count("request").await), (0, 0), "`{text}`: {said}");
    }
}

/// Refused where the line is read, before anything is planned, in words that say what a dash would do.
#[tokio::test]
async fn i9_a_value_that_begins_with_a_dash_is_refused_in_the_line() {
    let house = House::new().await;
    for text in ["announce -rf", "run say-words words=-rf", "run say-words words=\"--help me\""] {
        let said = house.say("mei", text).await;
        assert!(said.contains("begins with `-`, which a program reads as an option"), "`{text}`: {said}");
    }
    assert_eq!((house.count("run").await, house.count("plan").await), (0, 0));
}

/// What looks like shell is one argument, to the letter.
#[tokio::test]
async fn i9_what_was_said_is_one_argument_and_reaches_no_shell() {
    let house = House::new().await;
    let engine = house.engine();
    let made = house.side("made").display().to_string();
    let values = [
        "; touch MADE".to_owned(),
        "$(touch MADE)".into(),
        "`touch MADE`".into(),
        "x && touch MADE | cat > MADE".into(),
        "{{ words }} {% raw %}".into(),
        "' \" \\ * ? ~ $HOME".into(),
        "<@U1> @channel *bold*".into(),
    ];
    for value in &values {
        let asked = house.ask("mei", &format!("announce {}", value.replace("MADE", "made"))).await;
        house.say("boss", &format!("approve {}", asked.code)).await;
        assert_eq!(house.settled(asked.run).await, RunState::Succeeded, "{value}");
    }
    engine.stop().await;
    let expected: Vec<String> = values.iter().map(|value| value.replace("MADE", "made")).collect();
    assert_eq!(house.done(), expected);
    assert!(!std::path::Path::new(&made).exists());
}

#[tokio::test]
async fn i9_a_template_in_an_interpreters_text_does_not_load() {
    let house = House::new().await;
    let runbook = |command: &str| {
        format!(
            "runbook: bad\ntitle: Bad\nsay: ['be bad with {{words}}']\nparams: {{words: {{type: text, max_length: 9}}}}\n\
             system: shop\napproval: one\nsteps: [{{name: Bad, run: {{command: {command}}}}}]\n"
        )
    };
    house.write("bad.yaml", &runbook("[./note.sh, SIDE/done, '{{ words }}']"));
    load(&house.catalog_folder()).unwrap_or_else(|wrong| panic!("a script of its own is the way: {wrong}"));
    for command in [
        "[sh, -c, 'echo {{ words }}']",
        "[sh, -c, 'echo $1', '{{ words }}']",
        "[python3, -c, '{{ words }}']",
        "[env, bash, -lc, 'echo {{ words }}']",
        "['{{ words }}', x]",
        "[xargs, '{{ words }}']",
        "[ssh, host, '{{ words }}']",
        "[./note.sh, '{{ nothing }}']",
        "[./note.sh, '{% if words %}']",
    ] {
        house.write("bad.yaml", &runbook(command));
        let wrong = load(&house.catalog_folder()).expect_err(command);
        assert!(wrong.to_string().contains("bad.yaml"), "{command}: {wrong}");
    }
}
