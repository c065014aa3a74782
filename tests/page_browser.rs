//! The pages in a real browser: the story on a desk and on a phone, what is forbidden, and what a page must be for
//! everybody. Screenshots are left in the build's directory for tests, under `pages/`.

mod support;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use support::bot::Bot;
use support::until;
use support::world::Catalog;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The checker, with `return check(phone)` to follow.
const CHECK: &str = include_str!("page_browser/check.js");

const DESK: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (360, 740);

/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

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
        let mut request = self.http.request(method.parse().expect("a method"), format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the driver answers");
        let status = response.status();
        let mut answer: Value = response.json().await.expect("JSON");
        assert!(status.is_success(), "{method} {path}: {}", answer["value"]["message"]);
        answer["value"].take()
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
        until(&format!("`{selector}` is there"), async || {
            let query = json!({"using": "css selector", "value": selector});
            let found = self.call("POST", "/elements", Some(query)).await;
            found.get(0).and_then(|element| element[ELEMENT].as_str()).map(str::to_owned)
        })
        .await
    }

    async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.call("POST", &format!("/element/{element}/click"), Some(json!({}))).await;
    }

    async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.call("POST", &format!("/element/{element}/value"), Some(json!({"text": text}))).await;
    }

    async fn text(&self, selector: &str) -> String {
        let script = format!("return [...document.querySelectorAll({selector:?})].map((e) => e.innerText).join('\\n')");
        self.script(&script).await.as_str().unwrap_or_default().to_owned()
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
        self.is_at("/rooms/system-a").await;
    }

    async fn say(&self, text: &str) {
        self.write("#say", text).await;
        self.click("#composer button").await;
    }

    /// Opens a page anew would lose this mark.
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

#[tokio::test]
async fn the_story_in_two_browsers() {
    let bot = Bot::start(Catalog::shipped()).await;
    let driver = Driver::start().await;
    let (mei, boss) = (driver.open(&bot, DESK).await, driver.open(&bot, PHONE).await);
    mei.come_in(&bot, "mei").await;
    boss.come_in(&bot, "boss").await;
    mei.mark().await;
    boss.mark().await;

    mei.say("is service c running").await;
    mei.reads("#talk", "Service C is running.").await;
    boss.reads("#talk", "Service C is running.").await;

    // What is being typed stays while the page changes under it.
    boss.write("#say", "half a sent").await;
    mei.say("start service b").await;
    mei.reads("#talk", "mei asks: start service-b").await;
    boss.reads("#waiting", "A request waits for you").await;
    boss.reads("#waiting .steps", "countersign demo-ctl start service-b").await;
    assert_eq!(boss.script("return document.getElementById('say').value").await, "half a sent");
    assert_eq!(boss.script("return document.activeElement.id").await, "say", "and so does the focus");
    mei.picture("story-1280-waiting").await;
    boss.picture("story-360-waiting").await;

    boss.click("#waiting .thumb.good").await;
    boss.reads("#talk", "mei: start service-b is done.").await;
    mei.reads("#talk", "mei: start service-b is done.").await;
    mei.reads("#beside .sheet", "boss approved at").await;
    until("nothing waits any more", async || {
        boss.script("return !document.getElementById('waiting')").await.as_bool()?.then_some(())
    })
    .await;
    let edited = mei.script("return document.querySelectorAll('#talk .bot').length").await;
    let texts = mei.text("#talk").await;
    assert_eq!(texts.matches("1 done").count(), 1, "progress is one message that changes: {edited} messages, {texts}");
    mei.was_not_reloaded().await;
    boss.was_not_reloaded().await;
    mei.picture("story-1280-done").await;
    boss.picture("story-360-done").await;
    mei.is_quiet().await;
    boss.is_quiet().await;
    mei.close().await;
    boss.close().await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn who_tries_to_cheat_reads_why_not() {
    let bot = Bot::start(Catalog::shipped()).await;
    let driver = Driver::start().await;
    let (mei, zed) = (driver.open(&bot, DESK).await, driver.open(&bot, DESK).await);
    mei.come_in(&bot, "mei").await;
    mei.say("start service b").await;
    mei.reads("#talk", "mei asks: start service-b").await;
    mei.click("#strip summary").await;
    mei.click("#strip form[action='/trial/approve'] button").await;
    mei.reads("#talk", "mei, it is your own request: someone else must approve.").await;
    assert_eq!(mei.script("return document.querySelectorAll('.thumb.good').length").await, 0);

    zed.come_in(&bot, "zed").await;
    zed.say("approved").await;
    zed.reads("#talk", "zed (local:trial:zed) is not known here.").await;
    assert!(!zed.text("body").await.contains("start service-b"), "who is not known reads nobody else's lines");
    // An address of a run that is there says no more than one that is not.
    zed.go("/runs/1").await;
    zed.reads("main", "There is no run here that you may see.").await;
    let complaints = zed.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("404")), "{complaints:?}");
    mei.is_quiet().await;

    // Without any script: the same buttons.
    let lin = driver.open(&bot, PHONE).await;
    lin.come_in(&bot, "lin").await;
    lin.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    lin.go("/runs/1").await;
    let reason = lin.element("input[name=reason]").await;
    lin.call("POST", &format!("/element/{reason}/value"), Some(json!({"text": "not tonight"}))).await;
    lin.click(".thumb.bad").await;
    mei.reads("#talk", "not tonight").await;
    mei.close().await;
    zed.close().await;
    lin.close().await;
    bot.rest().await;
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
    until("it is not stale any more", async || mei.text("#stale").await.is_empty().then_some(())).await;
    mei.was_not_reloaded().await;
    mei.close().await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn pages_are_for_everybody() {
    let bot = Bot::start(Catalog::shipped()).await;
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
