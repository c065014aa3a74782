//! The pages in a real browser: the story on a desk and on a phone, what is forbidden, and what a page must be for
//! everybody. Screenshots are left in the build's directory for tests, under `pages/`.

mod support;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use support::bot::Bot;
use support::world::Catalog;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The checker, with `return check(phone)` to follow.
const CHECK: &str = include_str!("page_browser/check.js");

const DESK: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (360, 740);

/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long anything in a browser may take: several of them share a slow machine's processors.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until something is there; panics when it takes too long.
async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            if let Some(found) = probe().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// A WebDriver for Chromium.
struct Driver {
    _process: Child,
    url: String,
    http: Client,
}

impl Driver {
    async fn start() -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let spawned = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut process = spawned.unwrap_or_else(|error| {
            panic!(
                "chromedriver cannot be started ({error}), and this test wants a browser.\n\
                 Install Chromium with its driver: on Debian `apt-get install chromium chromium-driver`"
            )
        });
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let port = loop {
            let line = tokio::time::timeout(support::SOON, lines.next_line()).await.expect("in time").expect("a line");
            let line = line.expect("chromedriver says where it listens");
            if let Some((_, port)) = line.rsplit_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // Its further words are nobody's business, but must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let http = Client::builder().timeout(Duration::from_secs(60)).build().expect("a client");
        Self { _process: process, url: format!("http://127.0.0.1:{port}"), http }
    }

    async fn open(&self, bot: &Bot, (width, height): (u32, u32)) -> Window<'_> {
        let arguments = [
            "--headless=new",
            // As root in a container there is no other way; the pages are our own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = self.call("POST", "/session", Some(capabilities)).await;
        let id = session["sessionId"].as_str().expect("a session").to_owned();
        let window = Window { driver: self, id, bot_url: bot.url() };
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        window.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        window
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.try_call(method, path, body).await;
        answer.unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    async fn try_call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        let mut request = self.http.request(method.parse().expect("a method"), format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the driver answers");
        let status = response.status();
        let mut answer: Value = response.json().await.expect("JSON");
        if status.is_success() { Ok(answer["value"].take()) } else { Err(answer["value"].to_string()) }
    }
}

/// A window of a browser of its own: one person.
struct Window<'a> {
    driver: &'a Driver,
    id: String,
    bot_url: String,
}

impl Window<'_> {
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.driver.call(method, &format!("/session/{}{path}", self.id), body).await
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.call("POST", "/goog/cdp/execute", Some(json!({"cmd": command, "params": parameters}))).await
    }

    async fn go(&self, path: &str) {
        self.call("POST", "/url", Some(json!({"url": format!("{}{path}", self.bot_url)}))).await;
    }

    async fn script(&self, text: &str) -> Value {
        self.call("POST", "/execute/sync", Some(json!({"script": text, "args": []}))).await
    }

    async fn element(&self, selector: &str) -> String {
        let what = format!("`{selector}` is there");
        let found = until(&what, async || {
            let query = json!({"using": "css selector", "value": selector});
            let found = self.call("POST", "/elements", Some(query)).await;
            found.get(0).and_then(|element| element[ELEMENT].as_str()).map(str::to_owned)
        });
        found.await
    }

    async fn click(&self, selector: &str) {
        self.with_element(selector, "click", json!({})).await;
    }

    async fn write(&self, selector: &str, text: &str) {
        self.with_element(selector, "value", json!({"text": text})).await;
    }

    /// Does something with an element. One that the page has replaced meanwhile is looked for again.
    async fn with_element(&self, selector: &str, what: &str, body: Value) {
        until(&format!("{what} of `{selector}`"), async || {
            let element = self.element(selector).await;
            // As a reader would: a conversation is scrolled within the page.
            self.script(&format!("document.querySelector({selector:?})?.scrollIntoView({{block: 'center'}})")).await;
            let path = format!("/session/{}/element/{element}/{what}", self.id);
            match self.driver.try_call("POST", &path, Some(body.clone())).await {
                Ok(_) => Some(()),
                Err(why) if is_passing(&why) => None,
                Err(why) => panic!("{what} of `{selector}`: {why}"),
            }
        })
        .await;
    }

    async fn text(&self, selector: &str) -> String {
        let script = format!("return [...document.querySelectorAll({selector:?})].map((e) => e.innerText).join('\\n')");
        let text = self.script(&script).await.as_str().unwrap_or_default().to_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Waits until some words stand in a part of the page.
    async fn reads(&self, selector: &str, words: &str) {
        until(&format!("`{words}` in `{selector}`"), async || self.text(selector).await.contains(words).then_some(()))
            .await;
    }

    /// Waits until the page is at an address.
    async fn is_at(&self, path: &str) {
        until(&format!("the page is {path}"), async || {
            let at = self.script("return document.readyState === 'complete' ? location.pathname : ''").await;
            (at == path).then_some(())
        })
        .await;
    }

    /// Comes in by the address that `up` prints and chooses whom to speak as, by the pages' own buttons.
    async fn come_in(&self, bot: &Bot, speaker: &str) {
        let token = countersign::web::Token::read(&bot.data()).expect("a token");
        self.go(&format!("/enter?key={}", countersign::web::entry_key(&token))).await;
        self.click("form button").await;
        self.is_at("/people").await;
        self.write("#speaker", speaker).await;
        self.click("form.sheet button").await;
        self.reads(".who", speaker).await;
        self.go("/rooms/system-a").await;
    }

    async fn say(&self, text: &str) {
        self.write("#say", text).await;
        self.click("#composer button").await;
    }

    /// Presses the button under the conversation that says a line.
    async fn press_line(&self, line: &str) {
        self.click(&format!("#worth form:has(input[value='{line}']) button")).await;
    }

    /// Waits until nothing of this kind is on the page.
    async fn is_gone(&self, selector: &str) {
        let query = json!({"using": "css selector", "value": selector});
        until(&format!("`{selector}` is gone"), async || {
            let found = self.call("POST", "/elements", Some(query.clone())).await;
            found.as_array().is_some_and(Vec::is_empty).then_some(())
        })
        .await;
    }

    /// Opening a page anew would lose this mark.
    async fn mark(&self) {
        self.script("window.notReloaded = true").await;
    }

    async fn was_not_reloaded(&self) {
        assert_eq!(self.script("return window.notReloaded === true").await, true, "the page was opened anew");
    }

    /// What the console says of errors and warnings.
    async fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", Some(json!({"type": "browser"}))).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        let loud = entries.into_iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        loud.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn is_quiet(&self) {
        assert_eq!(self.complaints().await, Vec::<String>::new());
    }

    async fn scheme(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    async fn picture(&self, name: &str) {
        let size = self.devtools("Page.getLayoutMetrics", json!({})).await["cssContentSize"].clone();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let taken = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip})).await;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
        std::fs::create_dir_all(&folder).expect("a directory");
        let bytes = unbase64(taken["data"].as_str().expect("a picture"));
        std::fs::write(folder.join(format!("{name}.png")), bytes).expect("a file");
    }

    async fn close(self) {
        self.call("DELETE", "", None).await;
    }
}

/// Whether a driver's complaint is about a moment: the page changed between looking and doing.
fn is_passing(why: &str) -> bool {
    ["stale element reference", "not attached", "not interactable", "click intercepted"].iter().any(|w| why.contains(w))
}

fn unbase64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|letter| !matches!(letter, b'=' | b'\n')).map(value).collect();
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    for four in letters.chunks(4) {
        let bits = four.iter().fold(0_u32, |bits, six| bits << 6 | u32::from(*six)) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

/// The shipped trial, in which requests wait until a slow machine has come so far.
fn trial() -> Catalog {
    Catalog::copied().edited("policies/managers.yaml", "expires: 60s", "expires: 30m")
}

/// Waits until the trial's own failure has been noticed and told: nothing more comes by itself after that.
async fn noticed(bot: &Bot) {
    bot.hear("Service B is not running").await;
    bot.hear("only watches").await;
}

#[tokio::test]
async fn the_story_in_two_browsers() {
    let bot = Bot::start(trial()).await;
    let driver = Driver::start().await;
    let (mei, boss) = (driver.open(&bot, DESK).await, driver.open(&bot, PHONE).await);
    mei.come_in(&bot, "mei").await;
    boss.come_in(&bot, "boss").await;
    mei.mark().await;
    boss.mark().await;

    // It has noticed by itself, and says what to do next.
    for window in [&mei, &boss] {
        window.reads("#talk", "System A: Service B is not running since").await;
        window.reads("#talk", "INC-1 opened.").await;
        window.reads("#beside", "INC-1 Service B is not running").await;
    }
    mei.reads("#guide", "As boss, in a private window").await;
    mei.picture("story-1280-first").await;
    boss.picture("story-360-first").await;

    boss.press_line("what happened").await;
    for window in [&boss, &mei] {
        window.reads("#talk", "INC-1: Service B is not running since").await;
        window.reads("#talk", "Nothing was tried yet.").await;
    }

    // What is being typed stays while the page changes under it.
    boss.write("#say", "half a sent").await;
    mei.press_line("start service b").await;
    mei.reads("#talk", "mei asks: start service-b").await;
    boss.reads("#waiting", "A request waits for you").await;
    boss.reads("#waiting .steps", "countersign demo-ctl start service-b").await;
    assert_eq!(boss.script("return document.getElementById('say').value").await, "half a sent");
    assert_eq!(boss.script("return document.activeElement.id").await, "say", "and so does the focus");
    mei.picture("story-1280-waiting").await;
    boss.picture("story-360-waiting").await;

    boss.click("#waiting .thumb.good").await;
    for window in [&boss, &mei] {
        window.reads("#talk", "mei: start service-b is done.").await;
        window.reads("#talk", "Service B is fine again after").await;
    }
    mei.reads("#beside .sheet", "boss approved at").await;
    boss.is_gone("#waiting").await;
    let texts = mei.text("#talk").await;
    assert_eq!(texts.matches("1 done").count(), 1, "progress is one message that changes: {texts}");
    mei.picture("story-1280-done").await;
    boss.picture("story-360-done").await;

    mei.press_line("resolve").await;
    for window in [&mei, &boss] {
        window.reads("#talk", "INC-1 resolved").await;
    }
    mei.press_line("report INC-1").await;
    mei.reads("#talk", "Now: resolved by mei").await;

    // Another service dies: nobody is asked.
    boss.click("#strip summary").await;
    boss.click("#strip form:has([value=service-c]) button").await;
    boss.reads("#notice", "Nobody told the bot: its checks have to notice.").await;
    for window in [&boss, &mei] {
        window.reads("#talk", "Service C is not running since").await;
        window.reads("#talk", "Recovering: start service-c, by service-c-down.").await;
        window.reads("#talk", "Service C is fine again after").await;
    }
    mei.reads("#beside .sheet", "Nobody was asked").await;
    assert!(boss.text("#notice").await.contains("Nobody told"), "what was told stays while the page changes");
    mei.was_not_reloaded().await;
    boss.was_not_reloaded().await;
    mei.picture("story-1280-recovered").await;
    boss.picture("story-360-recovered").await;

    // From the conversation to the whole record.
    mei.click("#talk a[href='/incidents/1']").await;
    mei.is_at("/incidents/1").await;
    mei.reads("#here", "resolved by mei").await;
    mei.reads(".fold", "boss approved").await;
    mei.click("a[href$='report?format=html']").await;
    mei.is_at("/incidents/1/report").await;
    mei.reads("body", "Service B is not running").await;
    mei.picture("report-1280").await;
    mei.is_quiet().await;
    boss.is_quiet().await;
    mei.close().await;
    boss.close().await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn who_tries_to_cheat_reads_why_not() {
    let bot = Bot::start(trial()).await;
    noticed(&bot).await;
    let driver = Driver::start().await;
    let (mei, zed) = (driver.open(&bot, DESK).await, driver.open(&bot, DESK).await);
    mei.come_in(&bot, "mei").await;
    mei.say("start service b").await;
    mei.reads("#talk", "mei asks: start service-b").await;
    mei.click("#strip summary").await;
    mei.click("#strip form[action='/trial/approve'] button").await;
    mei.reads("#talk", "mei, it is your own request: someone else must approve.").await;
    assert_eq!(mei.script("return document.querySelectorAll('.thumb.good').length").await, 0);

    // The catalog changes under what was asked: whoever decides reads so.
    mei.click("#strip form[action='/trial/runbook'] button").await;
    mei.reads("#notice", "What was asked before stays as it was asked.").await;
    mei.reads("#beside .request", "would now make another plan of it").await;

    zed.come_in(&bot, "zed").await;
    zed.say("approved").await;
    zed.reads("#talk", "zed (local:trial:zed) is not known here.").await;
    assert!(!zed.text("body").await.contains("start service-b"), "who is not known reads nobody else's lines");
    // An address of a run that is there says no more than one that is not.
    zed.go("/runs/1").await;
    zed.reads("main", "There is no run here that you may see.").await;

    // A form of another site, sent by the reader's own browser.
    let forged = format!(
        "data:text/html,<form method=post action='{}/rooms/system-a/lines'><input name=text value=approved><button>x</button></form>",
        bot.url()
    );
    zed.call("POST", "/url", Some(json!({"url": forged}))).await;
    zed.click("button").await;
    zed.reads("body", "pages of other sites may not ask").await;
    let complaints = zed.complaints().await;
    let expected =
        |complaint: &String| complaint.contains("404") || complaint.contains("403") || complaint.contains("favicon");
    assert!(complaints.iter().all(expected), "{complaints:?}");

    // Without any script: a page that knows nothing of what happened since, and the same buttons.
    let (boss, lin) = (driver.open(&bot, PHONE).await, driver.open(&bot, PHONE).await);
    for window in [&boss, &lin] {
        window.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    }
    boss.come_in(&bot, "boss").await;
    lin.come_in(&bot, "lin").await;
    boss.go("/runs/1").await;
    boss.element(".thumb.good").await;
    lin.go("/runs/1").await;
    lin.write("input[name=reason]", "not tonight").await;
    lin.click(".thumb.bad").await;
    mei.reads("#talk", "not tonight").await;
    boss.click(".thumb.good").await;
    boss.reads("#notice", "was denied by lin. Your answer changes nothing.").await;
    boss.picture("stale-button-360").await;
    mei.is_quiet().await;
    for window in [mei, zed, boss, lin] {
        window.close().await;
    }
    assert!(!bot.rest().await.contains("Starting."), "nothing was started");
    bot.finish().await;
}

#[tokio::test]
async fn a_page_that_lost_its_stream_says_so_and_goes_on() {
    let mut bot = Bot::start(Catalog::made()).await;
    let driver = Driver::start().await;
    let mei = driver.open(&bot, PHONE).await;
    mei.come_in(&bot, "mei").await;
    mei.mark().await;
    bot.kill().await;
    mei.reads("#stale", "Stale: not connected since").await;
    mei.picture("stale-360").await;
    bot.restart().await;
    bot.say("boss", "ping").await.done();
    mei.reads("#talk", "boss ping").await;
    mei.is_gone("#stale:not([hidden])").await;
    mei.was_not_reloaded().await;
    mei.close().await;
    bot.rest().await;
    bot.finish().await;
}

/// Killed by its own page: the page says that it is gone, and opens again by itself once it is back.
#[tokio::test]
async fn a_page_waits_for_the_bot_that_it_killed() {
    let mut bot = Bot::start(trial()).await;
    noticed(&bot).await;
    let driver = Driver::start().await;
    let mei = driver.open(&bot, PHONE).await;
    mei.come_in(&bot, "mei").await;
    mei.click("#strip summary").await;
    mei.click("#strip form[action='/trial/kill'] button").await;
    assert_eq!(bot.ended().await.code(), None, "by a signal");
    mei.reads("#back-when-there", "It is away, for").await;
    mei.picture("killed-360").await;
    bot.restart().await;
    mei.is_at("/rooms/system-a").await;
    mei.reads("#talk", "Service B is not running").await;
    mei.close().await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn pages_are_for_everybody() {
    let bot = Bot::start(trial()).await;
    noticed(&bot).await;
    let driver = Driver::start().await;
    bot.say("mei", "start service b").await.waiting();
    let asked = bot.say("mei", "stop service c").await.waiting();
    bot.say("boss", &format!("deny {} because users are on it", asked.code())).await.done();
    bot.say("mei", "is service c running").await.done();
    let mut faults = Vec::new();
    for (name, size) in [("1280", DESK), ("360", PHONE)] {
        let window = driver.open(&bot, size).await;
        window.come_in(&bot, "boss").await;
        for scheme in ["light", "dark"] {
            window.scheme(scheme).await;
            let pages = [
                "/rooms/system-a",
                "/runs/1",
                "/runs/2",
                "/requests",
                "/systems",
                "/incidents",
                "/incidents/1",
                "/rooms/system-a?thread=m3",
                "/ledger",
                "/ledger?run=2",
                "/ledger/verify",
                "/people",
            ];
            for path in pages {
                window.go(path).await;
                // What is folded is part of the page.
                window.script("for (const fold of document.querySelectorAll('details')) fold.open = true").await;
                let found = window.script(&format!("{CHECK}\nreturn check({})", size == PHONE)).await;
                let found: Vec<String> = serde_json::from_value(found).expect("sentences");
                faults.extend(found.into_iter().map(|fault| format!("{path} at {name}, {scheme}: {fault}")));
                let picture = path.trim_start_matches('/').replace(['/', '?', '='], "-");
                window.picture(&format!("{picture}-{name}-{scheme}")).await;
            }
        }
        // The keyboard goes through a page in the order in which it reads, and one sees where it is.
        window.go("/runs/1").await;
        let mut last = -1;
        for _ in 0..12 {
            let keys = json!({"actions": [{"type": "key", "id": "keys", "actions": [{"type": "keyDown", "value": "\u{e004}"}, {"type": "keyUp", "value": "\u{e004}"}]}]});
            window.call("POST", "/actions", Some(keys)).await;
            let at = window
                .script(
                    "const at = document.activeElement; return [[...document.querySelectorAll('*')].indexOf(at), getComputedStyle(at).outlineStyle]",
                )
                .await;
            let index = at[0].as_i64().expect("a number");
            assert!(index > last, "the keyboard goes back on a page of {name}");
            assert_ne!(at[1], "none", "one does not see where the keyboard is");
            last = index;
        }
        window.is_quiet().await;
        window.close().await;
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    bot.rest().await;
    bot.finish().await;
}
