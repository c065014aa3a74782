//! A world in which managers agree with passkeys: a bot with pages for them, and an operator beside it.

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use super::authenticator::Authenticator;
use super::bot::{Bot, Port, Reply, free_port};
use super::world::{Catalog, step};

/// A bot with a page for decisions, in whose world boss and lin agree with passkeys.
pub(crate) struct World {
    pub(crate) bot: Bot,
    pub(crate) origin: String,
    pub(crate) http: Client,
    /// Of its pages, and of the address that people are sent.
    pub(crate) ports: Vec<Port>,
}

/// A policy for which so many managers must agree with a passkey.
pub(crate) fn policy(quorum: u32) -> String {
    format!(
        "policy: managers\ntitle: A manager agrees\nstages:\n  - approvers: [group:managers]\n    quorum: {quorum}\n    \
         step_up: true\nexpires: 30m\nvalid_for: 1h\n"
    )
}

pub(crate) fn catalog(quorum: u32) -> Catalog {
    Catalog::made().file("managers.yaml", &policy(quorum)).runbook("roll-out", &[step("one", "ok")])
}

impl World {
    pub(crate) async fn start(catalog: Catalog) -> Self {
        let port = free_port();
        let origin = format!("http://localhost:{port}");
        let settings = format!("decisions: {{listen: '127.0.0.1:{port}', url: '{origin}'}}\n");
        let bot = Bot::start_with(catalog, &settings).await;
        Self { bot, origin, http: Client::builder().no_proxy().build().expect("a client"), ports: vec![port] }
    }

    /// The same with pages to which the address that people are sent does not lead.
    pub(crate) async fn somewhere_else(catalog: Catalog) -> Self {
        let (port, nowhere) = (free_port(), free_port());
        let origin = format!("http://localhost:{nowhere}");
        let settings = format!("decisions: {{listen: '127.0.0.1:{port}', url: '{origin}'}}\n");
        let bot = Bot::start_with(catalog, &settings).await;
        Self { bot, origin, http: Client::builder().no_proxy().build().expect("a client"), ports: vec![port, nowhere] }
    }

    /// The same with a passkey for each of these.
    pub(crate) async fn with<const N: usize>(catalog: Catalog, people: [&str; N]) -> (Self, [Authenticator; N]) {
        let world = Self::start(catalog).await;
        let mut authenticators = Vec::new();
        for person in people {
            authenticators.push(world.enrol(person).await);
        }
        (world, authenticators.try_into().unwrap_or_else(|_| panic!("as many as people")))
    }

    /// The program, told to do something with passkeys.
    pub(crate) async fn operator(&self, arguments: &[&str]) -> (bool, String) {
        let url = self.bot.url();
        let mut command = self.bot.command(&["passkey"]);
        let output = command.args(arguments).args(["--server", &url, "--data"]).arg(self.bot.data()).output().await;
        let output = output.expect("the program runs");
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(text).expect("text").trim().to_owned())
    }

    /// What `doctor` finds of these pages and of passkeys, with the settings of a file.
    pub(crate) async fn doctor(&self, settings: &std::path::Path) -> String {
        let mut command = self.bot.command(&["doctor", "--config"]);
        command.arg(settings).arg("--catalog").arg(self.bot.catalog(".")).arg("--data").arg(self.bot.data());
        let output = command.args(["--database", self.bot.db().url()]).output().await.expect("the program runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let about = |line: &&str| line.contains(" decisions:") || line.contains(" passkeys:");
        let lines: Vec<&str> = text.lines().filter(about).collect();
        lines.join("\n").replace(&self.origin, "ORIGIN")
    }

    pub(crate) async fn invite(&self, person: &str) -> String {
        let (done, link) = self.operator(&["invite", person]).await;
        assert!(done, "{link}");
        assert!(link.starts_with(&format!("{}/passkey/", self.origin)), "{link}");
        link
    }

    pub(crate) async fn get(&self, link: &str) -> Response {
        self.http.get(link).send().await.expect("an answer")
    }

    pub(crate) async fn page(&self, link: &str) -> String {
        let response = self.get(link).await;
        let (status, text) = (response.status(), response.text().await.expect("a page"));
        assert_eq!(status, StatusCode::OK, "{text}");
        text
    }

    pub(crate) async fn post(&self, link: &str, fields: &[(String, String)]) -> (StatusCode, String) {
        let response = self.http.post(link).form(fields).send().await.expect("an answer");
        (response.status(), response.text().await.expect("a page"))
    }

    /// Adds a passkey for somebody, by an invitation.
    pub(crate) async fn enrol(&self, person: &str) -> Authenticator {
        let link = self.invite(person).await;
        let mut authenticator = Authenticator::new(&self.origin);
        let fields = authenticator.make(&self.page(&link).await, "phone");
        let (status, page) = self.post(&link, &fields).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        authenticator
    }

    /// Says `approved`; the page to which one is sent.
    pub(crate) async fn sent(&self, person: &str, words: &str) -> (String, Reply) {
        let reply = self.bot.say(person, words).await.refused();
        (link_in(&reply.text()), reply)
    }

    /// The bodies of the events of a kind.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Value> {
        events(&self.bot, kind).await
    }
}

pub(crate) async fn events(bot: &Bot, kind: &str) -> Vec<Value> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
        "select b.body from event e join event_body b on b.event = e.id where e.kind = $1 order by e.id",
    )
    .bind(kind)
    .fetch_all(&mut bot.db().connection().await)
    .await
    .expect("events");
    rows.iter().map(|(body,)| serde_json::from_slice(body).expect("JSON")).collect()
}

/// The address in what somebody was told.
pub(crate) fn link_in(text: &str) -> String {
    let word = text.split_whitespace().find(|word| word.contains("/decide/"));
    word.unwrap_or_else(|| panic!("no address in: {text}")).to_owned()
}

/// The sentence of a page, in plain words.
pub(crate) fn sentence(page: &str) -> String {
    let (_, after) = page.split_once("data-sentence").unwrap_or_else(|| panic!("no sentence in {page}"));
    let (_, after) = after.split_once('>').expect("a tag");
    let inside = after.split("</div>").next().expect("an end").replace("<code>", "`").replace("</code>", "`");
    let mut text = String::new();
    let mut in_tag = false;
    for c in inside.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("&#39;", "'").replace("&quot;", "\"")
}
