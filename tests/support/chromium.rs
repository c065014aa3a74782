//! Chromium, driven over WebDriver, for tests that look at pages as people do. Screenshots are left in the build's directory
//! for tests, under `pages/`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::bot::Bot;

pub(crate) const DESK: (u32, u32) = (1280, 800);
pub(crate) const PHONE: (u32, u32) = (360, 740);

/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long anything in a browser may take: several of them share a slow machine's processors.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until something is there; panics when it takes too long.
pub(crate) async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
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
pub(crate) struct Driver {
    _process: Child,
    url: String,
    http: Client,
}

impl Driver {
    pub(crate) async fn start() -> Self {
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
            let line = tokio::time::timeout(super::SOON, lines.next_line()).await.expect("in time").expect("a line");
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

    /// A browser of its own, for what a bot serves.
    pub(crate) async fn open(&self, bot: &Bot, size: (u32, u32)) -> Window<'_> {
        self.open_at(bot.url(), size).await
    }

    /// A browser of its own, for what is served at an address.
    pub(crate) async fn open_at(&self, url: String, (width, height): (u32, u32)) -> Window<'_> {
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
        let window = Window { driver: self, id, bot_url: url };
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        window.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        window
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
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
pub(crate) struct Window<'a> {
    pub(crate) driver: &'a Driver,
    pub(crate) id: String,
    pub(crate) bot_url: String,
}

impl Window<'_> {
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.driver.call(method, &format!("/session/{}{path}", self.id), body).await
    }

    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.call("POST", "/goog/cdp/execute", Some(json!({"cmd": command, "params": parameters}))).await
    }

    pub(crate) async fn go(&self, path: &str) {
        self.call("POST", "/url", Some(json!({"url": format!("{}{path}", self.bot_url)}))).await;
    }

    pub(crate) async fn script(&self, text: &str) -> Value {
        self.call("POST", "/execute/sync", Some(json!({"script": text, "args": []}))).await
    }

    pub(crate) async fn element(&self, selector: &str) -> String {
        let what = format!("`{selector}` is there");
        let found = until(&what, async || {
            let query = json!({"using": "css selector", "value": selector});
            let found = self.call("POST", "/elements", Some(query)).await;
            found.get(0).and_then(|element| element[ELEMENT].as_str()).map(str::to_owned)
        });
        found.await
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.with_element(selector, "click", json!({})).await;
    }

    pub(crate) async fn write(&self, selector: &str, text: &str) {
        self.with_element(selector, "value", json!({"text": text})).await;
    }

    /// Does something with an element. One that the page has replaced meanwhile is looked for again.
    pub(crate) async fn with_element(&self, selector: &str, what: &str, body: Value) {
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

    pub(crate) async fn text(&self, selector: &str) -> String {
        let script = format!("return [...document.querySelectorAll({selector:?})].map((e) => e.innerText).join('\\n')");
        let text = self.script(&script).await.as_str().unwrap_or_default().to_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Waits until some words stand in a part of the page.
    pub(crate) async fn reads(&self, selector: &str, words: &str) {
        until(&format!("`{words}` in `{selector}`"), async || self.text(selector).await.contains(words).then_some(()))
            .await;
    }

    /// Waits until the page is at an address.
    pub(crate) async fn is_at(&self, path: &str) {
        until(&format!("the page is {path}"), async || {
            let at = self.script("return document.readyState === 'complete' ? location.pathname : ''").await;
            (at == path).then_some(())
        })
        .await;
    }

    /// Comes in by the address that `up` prints and chooses whom to speak as, by the pages' own buttons.
    pub(crate) async fn come_in(&self, bot: &Bot, speaker: &str) {
        let token = countersign::web::Token::read(&bot.data()).expect("a token");
        self.go(&format!("/enter?key={}", countersign::web::entry_key(&token))).await;
        self.click("form button").await;
        self.is_at("/people").await;
        self.write("#speaker", speaker).await;
        self.click("form.sheet button").await;
        self.reads(".who", speaker).await;
        self.go("/rooms/system-a").await;
    }

    pub(crate) async fn say(&self, text: &str) {
        self.write("#say", text).await;
        self.click("#composer button").await;
    }

    /// Presses the button under the conversation that says a line.
    pub(crate) async fn press_line(&self, line: &str) {
        self.click(&format!("#worth form:has(input[value='{line}']) button")).await;
    }

    /// Waits until nothing of this kind is on the page.
    pub(crate) async fn is_gone(&self, selector: &str) {
        let query = json!({"using": "css selector", "value": selector});
        until(&format!("`{selector}` is gone"), async || {
            let found = self.call("POST", "/elements", Some(query.clone())).await;
            found.as_array().is_some_and(Vec::is_empty).then_some(())
        })
        .await;
    }

    /// Opening a page anew would lose this mark.
    pub(crate) async fn mark(&self) {
        self.script("window.notReloaded = true").await;
    }

    pub(crate) async fn was_not_reloaded(&self) {
        assert_eq!(self.script("return window.notReloaded === true").await, true, "the page was opened anew");
    }

    /// What the console says of errors and warnings.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", Some(json!({"type": "browser"}))).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        let loud = entries.into_iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        loud.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub(crate) async fn is_quiet(&self) {
        assert_eq!(self.complaints().await, Vec::<String>::new());
    }

    pub(crate) async fn scheme(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    pub(crate) async fn picture(&self, name: &str) {
        let size = self.devtools("Page.getLayoutMetrics", json!({})).await["cssContentSize"].clone();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let taken = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip})).await;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
        std::fs::create_dir_all(&folder).expect("a directory");
        let bytes = unbase64(taken["data"].as_str().expect("a picture"));
        std::fs::write(folder.join(format!("{name}.png")), bytes).expect("a file");
    }

    /// Gives this browser an authenticator that knows whoever touches it, and whose touch comes by itself; its name.
    pub(crate) async fn authenticator(&self) -> String {
        self.devtools("WebAuthn.enable", json!({})).await;
        let options = json!({
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true,
        });
        let added = self.devtools("WebAuthn.addVirtualAuthenticator", json!({"options": options})).await;
        added["authenticatorId"].as_str().expect("an authenticator").to_owned()
    }

    /// Whether the authenticator knows whoever touches it from now on.
    pub(crate) async fn knows(&self, authenticator: &str, knows: bool) {
        let said = json!({"authenticatorId": authenticator, "isUserVerified": knows});
        self.devtools("WebAuthn.setUserVerified", said).await;
    }

    /// Goes to an address, wherever it is.
    pub(crate) async fn visit(&self, url: &str) {
        self.call("POST", "/url", Some(json!({"url": url}))).await;
    }

    pub(crate) async fn close(self) {
        self.call("DELETE", "", None).await;
    }
}

/// Whether a driver's complaint is about a moment: the page changed between looking and doing.
fn is_passing(why: &str) -> bool {
    ["stale element reference", "not attached", "not interactable", "click intercepted"].iter().any(|w| why.contains(w))
}

pub(crate) fn unbase64(text: &str) -> Vec<u8> {
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
