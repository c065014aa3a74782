//! The pages by hand: the real program over HTTP, as a browser without a script would ask, and as one should not.

mod support;

use reqwest::StatusCode;
use support::bot::Bot;
use support::browser::{Browser, cookie_of, http, key};
use support::until;
use support::world::{Catalog, runbook, step};

/// The greatest size of a page for reading and deciding, style and script apart.
const MOST_BYTES: usize = 30_000;

/// A page's words as one reads them: tags away, white space as one space.
fn words(page: &str) -> String {
    let mut words = String::new();
    let mut inside = false;
    for letter in page.chars() {
        match letter {
            '<' => inside = true,
            '>' => {
                inside = false;
                words.push(' ');
            }
            _ if !inside => words.push(letter),
            _ => {}
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The code of the only request that waits.
async fn waiting_code(bot: &Bot) -> String {
    until("a request waits and is posted", async || {
        let pending = bot.db().store.list_pending_requests().await.expect("the database");
        pending.first().filter(|request| request.posted_at.is_some()).map(|request| request.code.to_string())
    })
    .await
}

#[tokio::test]
async fn the_story_without_a_script() {
    let bot = Bot::start(Catalog::made().runbook("fix-it", &[step("one", "ok")])).await;
    let [mei, boss] = [Browser::of(&bot, "mei").await, Browser::of(&bot, "boss").await];
    assert_eq!(mei.say("fix it").await, StatusCode::SEE_OTHER);
    let code = waiting_code(&bot).await;

    let room = mei.page("/rooms/system-a").await;
    assert!(words(&room).contains("PRODUCTION · mei asks: fix it"), "{}", words(&room));
    assert!(!room.contains(&format!("value=\"approve {code}\"")), "nobody is offered their own request");
    for page in ["/rooms/system-a", "/requests", "/ledger", "/systems", "/incidents"] {
        let seen = words(&boss.page(page).await);
        assert!(seen.contains(&code), "what waits for one stands on every page, but not on {page}: {seen}");
    }
    let after = boss.press("/runs/1", &format!("approve {code}"), "").await;
    assert!(words(&after).contains("boss approved at"), "{}", words(&after));
    bot.until_run(countersign::model::id::RunId(1), "succeeded").await;
    let sheet = words(&mei.page("/runs/1").await);
    assert!(sheet.contains("done") && sheet.contains("| one ok") && sheet.contains("boss approved"), "{sheet}");
    let verified = words(&mei.page("/ledger/verify").await);
    assert!(verified.contains("sound · read at"), "{verified}");
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_denial_says_why_and_ones_own_request_is_refused() {
    let bot = Bot::start(Catalog::made().runbook("fix-it", &[step("one", "ok")])).await;
    let [mei, boss] = [Browser::of(&bot, "mei").await, Browser::of(&bot, "boss").await];
    mei.say("fix it").await;
    let code = waiting_code(&bot).await;

    let token = mei.token_on("/requests").await;
    let own = mei.post("/trial/approve", &[("token", &token), ("back", "/runs/1")]).await;
    let next = own.headers()["location"].to_str().expect("a place").to_owned();
    let refused = words(&mei.page(&next).await);
    assert!(refused.contains("mei, it is your own request: someone else must approve."), "{refused}");
    assert_eq!(bot.effects(), Vec::<String>::new());
    let others = words(&boss.page(&next).await);
    assert!(!others.contains("it is your own request"), "an answer stands on the page of who asked: {others}");

    let after = boss.press("/runs/1", &format!("deny {code}"), "not <b>now</b>").await;
    assert!(words(&after).contains("denied by boss") && after.contains("not &lt;b&gt;now&lt;/b&gt;"), "{after}");
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn without_the_key_nobody_comes_in() {
    let bot = Bot::start(Catalog::made()).await;
    let http = http();
    for path in [
        "/",
        "/rooms/system-a",
        "/runs/1",
        "/requests",
        "/ledger",
        "/ledger/verify",
        "/systems",
        "/incidents",
        "/people",
        "/live",
    ] {
        let response = http.get(format!("{}{path}", bot.url())).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(response.headers().get("set-cookie").is_none(), "{path}");
        let page = response.text().await.expect("a page");
        assert!(words(&page).contains("Open the address that countersign up printed"), "{path}");
    }
    let enter = format!("{}/enter", bot.url());
    for wrong in ["", "wrong", &"0".repeat(64)] {
        let response = http.post(&enter).form(&[("key", wrong)]).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{wrong}");
        assert!(response.headers().get("set-cookie").is_none());
    }
    // Reading the address lets nobody in: only its button does.
    let read = http.get(format!("{enter}?key={}", key(&bot))).send().await.expect("an answer");
    assert_eq!(read.status(), StatusCode::OK);
    assert!(read.headers().get("set-cookie").is_none());

    let token = std::fs::read_to_string(bot.data().join("token")).expect("a token");
    let pasted = http.post(&enter).form(&[("key", token.as_str())]).send().await.expect("an answer");
    let cookie = cookie_of(&pasted).expect("the token itself opens the door");
    let whole = pasted.headers()["set-cookie"].to_str().expect("text");
    assert!(whole.contains("HttpOnly") && whole.contains("SameSite=Strict") && whole.contains("Path=/"), "{whole}");
    assert!(!whole.contains(token.trim()) && !whole.contains(&key(&bot)), "neither token nor key leaves in a cookie");

    // Forged: another name, another signature, signed under another token.
    let other = countersign::web::Token::parse(&"5e".repeat(32)).expect("a token");
    let (name, value) = cookie.split_once('=').expect("a cookie");
    let (text, mac) = value.rsplit_once('.').expect("a signature");
    let forged = [
        format!("{name}={text}.{}", "0".repeat(mac.len())),
        format!("{name}={}.{mac}", text.replace('-', "626f7373")),
        format!("{name}={text}.{}", countersign::web::entry_key(&other)),
        format!("other={value}"),
        format!("{cookie}; {cookie}"),
    ];
    for forged in forged {
        let request = http.get(format!("{}/people", bot.url())).header("cookie", &forged);
        assert_eq!(request.send().await.expect("an answer").status(), StatusCode::UNAUTHORIZED, "{forged}");
    }
    // A session is no token: the API wants the token itself.
    let api = format!("{}/api/v1/audit/verify", bot.url());
    let request = http.get(api).header("cookie", &cookie);
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    bot.finish().await;
}

#[tokio::test]
async fn a_form_of_another_page_does_nothing() {
    let bot = Bot::start(Catalog::copied()).await;
    let [mei, boss] = [Browser::of(&bot, "mei").await, Browser::of(&bot, "boss").await];
    let (own, others) = (mei.token_on("/requests").await, boss.token_on("/requests").await);
    let places: [(&str, &[(&str, &str)]); 8] = [
        ("/rooms/system-a/lines", &[("id", "x1"), ("text", "ping")]),
        ("/rooms/system-a/presses", &[("interaction", "x2"), ("message", "m1"), ("command", "ping")]),
        ("/people", &[("speaker", "boss")]),
        ("/leave", &[]),
        ("/trial/break", &[("service", "service-c")]),
        ("/trial/kill", &[]),
        ("/trial/runbook", &[]),
        ("/trial/approve", &[]),
    ];
    for (place, fields) in places {
        for token in [None, Some(""), Some("00"), Some(others.as_str()), Some(&key(&bot))] {
            let mut fields = fields.to_vec();
            fields.extend(token.map(|token| ("token", token)));
            let response = mei.post(place, &fields).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{place} {token:?}");
            let page = response.text().await.expect("a page");
            assert!(words(&page).contains("That form is not one of this browser's pages."), "{place}");
        }
        // GET never acts, whatever it carries.
        let query: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let read = mei.get(&format!("{place}?token={own}&{}", query.join("&"))).await.status();
        let is_a_page = place == "/people";
        assert_eq!(read, if is_a_page { StatusCode::OK } else { StatusCode::METHOD_NOT_ALLOWED }, "{place}");
    }
    // The right token, from another site or by another name of this machine.
    let url = format!("{}/rooms/system-a/lines", bot.url());
    let fields = [("token", own.as_str()), ("id", "x3"), ("text", "ping")];
    let port = bot.url().rsplit_once(':').expect("a port").1.to_owned();
    for (name, value) in [
        ("origin", "http://evil.example".to_owned()),
        ("origin", "null".to_owned()),
        ("host", "evil.example".to_owned()),
        ("host", format!("evil.example:{port}")),
        ("sec-fetch-site", "cross-site".to_owned()),
        ("sec-fetch-site", "same-site".to_owned()),
    ] {
        let request = http().post(&url).header("cookie", &mei.cookie).form(&fields).header(name, &value);
        assert_eq!(request.send().await.expect("an answer").status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
    // A name that was made to lead here afterwards reads nothing, on no page.
    for page in [
        "/",
        "/rooms/system-a",
        "/requests",
        "/systems",
        "/incidents",
        "/ledger",
        "/ledger/verify",
        "/people",
        "/enter",
        "/live",
    ] {
        let rebound = http().get(format!("{}{page}", bot.url())).header("cookie", &mei.cookie);
        let answer = rebound.header("host", format!("evil.example:{port}")).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{page}");
        let said = answer.text().await.expect("text");
        assert!(said.contains("does not go by that name") && !said.contains("mei"), "{page}: {said}");
    }
    assert_eq!(bot.db().number("select count(*) from inbox").await, 0, "nothing was said");
    bot.finish().await;
}

#[tokio::test]
async fn a_form_sent_twice_acts_once() {
    let bot = Bot::start(Catalog::made()).await;
    let mei = Browser::of(&bot, "mei").await;
    let token = mei.token_on("/requests").await;
    let fields = [("token", token.as_str()), ("id", "once"), ("text", "ping"), ("back", "//evil.example/")];
    for _ in 0..2 {
        let response = mei.post("/rooms/system-a/lines", &fields).await;
        assert_eq!(response.headers()["location"], "/", "a form leads to this server alone");
    }
    assert_eq!(bot.db().number("select count(*) from inbox").await, 1);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn what_came_from_outside_stays_text_on_every_page() {
    const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;";
    let greet = "runbook: greet\ntitle: <script>alert(3)</script>\nwhy: \"<script>alert(4)</script>\"\nsay: [\"greet {whom}\"]\n\
                 system: system-a\napproval: managers\nparams:\n  whom: {type: text, max_length: 200}\nsteps:\n  \
                 - name: <script>alert(5)</script>\n    run: {command: [./step.sh, one, nasty, \"{{ whom }}\"]}\n";
    let names = "title: System <b>A</b> <script>alert(8)</script>\nmay_resolve: [group:support]";
    let catalog = Catalog::made().file("greet.yaml", greet).edited("system-a.yaml", "title: System A", names).edited(
        "system-a.yaml",
        "title: Service B",
        "title: \"<script>alert(9)</script>\"",
    );
    let bot = Bot::start(catalog).await;
    let [mei, boss] = [Browser::of(&bot, "mei").await, Browser::of(&bot, "boss").await];
    mei.say(EVIL).await;
    mei.say("greet \"<script>alert(6)</script>\"").await;
    let code = waiting_code(&bot).await;
    let stranger = Browser::of(&bot, "<script>alert(7)</script>").await;
    stranger.say("whoami").await;
    mei.say("open incident <script>alert(10)</script>").await;
    mei.say("note <script>alert(11)</script>").await;
    bot.quiet().await;
    assert!(words(&mei.page("/incidents/1").await).contains("alert(10)"), "the incident is there");
    boss.press("/runs/1", &format!("approve {code}"), "").await;
    bot.until_run(countersign::model::id::RunId(1), "succeeded").await;
    bot.quiet().await;
    for (who, name) in [(&mei, "mei"), (&boss, "boss"), (&stranger, "stranger")] {
        let for_all =
            ["/rooms/system-a", "/requests", "/ledger", "/ledger?kind=line_said", "/systems", "/incidents", "/people"];
        let for_people = [
            "/",
            "/incidents/1",
            "/runs/1",
            "/rooms/system-a?thread=m2",
            "/ledger?incident=1",
            "/ledger?person=mei",
            "/ledger?kind=%3Cscript%3E",
            "/ledger/verify",
            "/people?next=%22%3E%3Cscript%3E",
        ];
        let for_people = for_people.into_iter().filter(|_| name != "stranger");
        for path in for_all.into_iter().chain(for_people) {
            let page = who.page(path).await;
            assert_eq!(page.matches("<script").count(), 1, "{name} {path}: only the page's own script, by its address");
            assert!(!page.contains("<img") && !page.contains(" style="), "{name} {path}");
            let handler = page.split('<').find(|tag| tag.split('>').next().is_some_and(|tag| tag.contains(" on")));
            assert_eq!(handler.map(|tag| tag.split('>').next()), None, "{name} {path}: nothing stands in a tag");
        }
    }
    let report = mei.page("/incidents/1/report?format=html").await;
    assert!(report.contains("alert(10)") && report.contains("alert(11)"), "{report}");
    assert!(!report.contains("<script") && !report.contains("<img") && !report.contains("<b>A"), "{report}");
    let run = mei.page("/runs/1").await;
    assert!(
        words(&run).contains("| @boss approved \\u{1b}[31mred"),
        "each line of an output is prefixed, nothing hides"
    );
    let text = mei.get("/runs/1/output/1/1").await;
    assert_eq!(text.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(text.headers()["x-content-type-options"], "nosniff");
    let policy = text.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(
        !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'")
    );
    bot.rest().await;
    bot.finish().await;
}

/// Rights are asked for everything that is shown: what one may not see is not there.
#[tokio::test]
async fn one_reads_what_one_may_see() {
    let hidden = "system: system-z\ntitle: System Z\nenvironment: scratch\nroom: system-z\nmay_run: [person:lin]\n\
                  may_see: [person:lin]\nmay_unstick: [person:lin]\nservices:\n  service-y:\n    title: Service Y\n    \
                  checks:\n      running: {command: [/bin/true]}\n";
    let catalog = Catalog::made()
        .file("system-z.yaml", hidden)
        .file("fix-z.yaml", &runbook("fix-z", "system-z", &[step("one", "ok")]));
    let bot = Bot::start(catalog).await;
    let [mei, lin, zed] =
        [Browser::of(&bot, "mei").await, Browser::of(&bot, "lin").await, Browser::of(&bot, "zed").await];
    bot.say("lin", "fix z").room("system-z").await.waiting();
    assert!(words(&lin.page("/runs/1").await).contains("fix z"));
    assert!(words(&lin.page("/rooms/system-z").await).contains("SCRATCH · lin asks: fix z"));
    for (who, name) in [(&mei, "mei"), (&zed, "zed")] {
        assert_eq!(who.get("/runs/1").await.status(), StatusCode::NOT_FOUND, "{name}");
        for path in ["/requests", "/ledger", "/ledger?run=1", "/systems", "/incidents"] {
            let page = words(&who.page(path).await);
            assert!(
                !page.contains("fix z") && !page.contains("SCRATCH") && !page.contains("System Z"),
                "{name} {path}: {page}"
            );
        }
    }
    assert_eq!(mei.get("/rooms/system-z").await.status(), StatusCode::NOT_FOUND);
    let strangers = words(&zed.page("/rooms/system-z").await);
    assert!(strangers.contains("zed (local:trial:zed) is not known here."), "{strangers}");
    assert!(!strangers.contains("fix z"), "{strangers}");
    assert_eq!(zed.get("/ledger/verify").await.status(), StatusCode::NOT_FOUND);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn ten_thousand_rows_open_at_once_and_pages_are_small() {
    let bot = Bot::start(Catalog::made().runbook("fix-it", &[step("one", "ok")])).await;
    let mei = Browser::of(&bot, "mei").await;
    let line = |number: usize| countersign::model::event::NewEvent {
        scope: countersign::model::event::Scope::default(),
        cause: None,
        record: countersign::model::event::Record {
            what: countersign::model::event::Happened::ClockJumped { millis: i64::try_from(number).expect("small") },
            rows: Vec::new(),
        },
    };
    let events: Vec<_> = (0..10_000).map(line).collect();
    for some in events.chunks(1000) {
        bot.db().store.record(some).await.expect("recorded");
    }
    mei.say("fix it").await;
    waiting_code(&bot).await;
    bot.quiet().await;
    let boss = Browser::of(&bot, "boss").await;
    for path in ["/rooms/system-a", "/requests", "/runs/1", "/systems", "/incidents"] {
        let size = boss.page(path).await.len();
        assert!(size < MOST_BYTES, "{path} has {size} bytes");
    }
    let newest = mei.page("/ledger").await;
    assert!(newest.len() < 2 * MOST_BYTES, "{} bytes", newest.len());
    // To the oldest row and back, by the links of the pages alone.
    let link = |page: &str, word: &str| {
        let (before, _) = page.split_once(&format!(">{word}</a>"))?;
        let (_, address) = before.rsplit_once("href=\"")?;
        Some(address.split('"').next().unwrap_or_default().replace("&amp;", "&"))
    };
    let (mut page, mut pages) = (newest, 1);
    while let Some(next) = link(&page, "Older") {
        page = mei.page(&next).await;
        pages += 1;
    }
    assert!(page.contains("id=\"p1\"") && pages > 100, "{pages} pages");
    let newer = mei.page(&link(&page, "Newer").expect("a page before the last")).await;
    assert!(newer.contains("id=\"p61\"") || newer.contains("id=\"p62\""), "no row is lost between two pages");
    let linked = mei.page("/ledger?at=5000").await;
    assert!(linked.contains("id=\"p5000\""));
    let style = newest_asset(&mei, ".css").await;
    assert!(style < MOST_BYTES, "{style} bytes of style");
    bot.rest().await;
    bot.finish().await;
}

async fn newest_asset(browser: &Browser<'_>, kind: &str) -> usize {
    let page = browser.page("/ledger").await;
    let (before, _) = page.split_once(kind).expect("a link");
    let name = before.rsplit_once("/assets/").expect("a name").1;
    let response = browser.get(&format!("/assets/{name}{kind}")).await;
    assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
    response.bytes().await.expect("it").len()
}

/// The stream says that there is something new, at once when a page is older than the ledger, and goes on where it stopped.
#[tokio::test]
async fn open_pages_are_told() {
    let bot = Bot::start(Catalog::made()).await;
    let mei = Browser::of(&bot, "mei").await;
    mei.say("ping").await;
    bot.quiet().await;
    let mark = bot.db().store.live_mark().await.expect("the database");
    let mark = format!("{}.{}", mark.position, mark.message);
    let listen = async |after: &str, last: Option<&str>| {
        let mut request = http().get(format!("{}/live?after={after}", bot.url())).header("cookie", &mei.cookie);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.expect("a stream")
    };
    let mut old = listen("0.0", None).await;
    let told = String::from_utf8(old.chunk().await.expect("a stream").expect("an event").to_vec()).expect("text");
    assert!(told.contains("event: changed") && told.contains(&format!("id: {mark}")), "{told}");
    assert!(told.contains("\ndata: c"), "a browser drops an event without data unheard: {told}");
    let mut resumed = listen("0.0", Some(&mark)).await;
    mei.say("ping again").await;
    let told = String::from_utf8(resumed.chunk().await.expect("a stream").expect("an event").to_vec()).expect("text");
    assert!(told.contains("event: changed") && !told.contains(&format!("id: {mark}\n")), "only what is new: {told}");
    drop((old, resumed));
    bot.rest().await;
    bot.finish().await;
}

/// Killed from its own page it starts again over the same data, and knows its browsers.
#[tokio::test]
async fn the_strip_breaks_edits_and_kills() {
    let mut bot = Bot::start(Catalog::copied().edited("policies/managers.yaml", "expires: 60s", "expires: 30m")).await;
    let [mei, boss] = [Browser::of(&bot, "mei").await, Browser::of(&bot, "boss").await];
    let token = mei.token_on("/requests").await;
    let cookie = mei.cookie.clone();
    // The trial begins with a failure, noticed by itself.
    bot.hear("Service B is not running").await;
    bot.hear("only watches").await;
    let broken = mei.post("/trial/break", &[("token", &token), ("service", "service-c")]).await;
    let broken = words(&broken.text().await.expect("a page"));
    assert!(broken.contains("Nobody told the bot"), "{broken}");
    let elsewhere = mei.post("/trial/break", &[("token", &token), ("service", "all")]).await;
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND, "only services that the page names");

    for words in ["Service C is not running", "Recovering: start service-c", "Service C is fine again"] {
        bot.hear(words).await;
    }
    let own = mei.post("/trial/approve", &[("token", &token), ("back", "/requests")]).await;
    assert!(words(&own.text().await.expect("a page")).contains("You have no request that waits."));

    let asked = bot.say("mei", "start service b").await.waiting();
    let (code, run) = (asked.code(), asked.run());
    let edit = mei.post("/trial/runbook", &[("token", &token)]).await.text().await.expect("a page");
    assert!(words(&edit).contains("timeout: 90s"), "{}", words(&edit));
    bot.hear("has changed").await;
    let sheet = words(&boss.page("/requests").await);
    assert!(sheet.contains("would now make another plan of it"), "who decides reads that the plan changed: {sheet}");
    boss.press("/requests", &format!("approve {code}"), "").await;
    bot.hear("start service-b is done").await;
    bot.hear("Service B is fine again").await;
    let sheet = words(&boss.page(&format!("/runs/{run}")).await);
    assert!(sheet.contains("at most 1 min") && !sheet.contains("1 min 30 s"), "what was shown is what ran: {sheet}");
    let back = mei.post("/trial/runbook", &[("token", &token)]).await.text().await.expect("a page");
    assert!(words(&back).contains("It is as it was."), "{}", words(&back));

    let killed = mei.post("/trial/kill", &[("token", &token)]).await.text().await.expect("a page");
    assert!(words(&killed).contains("gets SIGKILL now"), "{}", words(&killed));
    drop((mei, boss));
    assert_eq!(bot.ended().await.code(), None, "by a signal");
    bot.restart().await;
    let again = Browser { bot: &bot, http: http(), cookie };
    assert!(words(&again.page("/requests").await).contains("You are mei"));
    bot.rest().await;
    bot.finish().await;
}
