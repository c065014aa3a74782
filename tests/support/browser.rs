//! A browser without a script, for tests that look at the pages as whoever reads them would.

use std::sync::LazyLock;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};

use super::bot::Bot;

/// A browser without a script: keeps one cookie, follows nothing by itself.
pub(crate) struct Browser<'a> {
    pub(crate) bot: &'a Bot,
    pub(crate) http: Client,
    pub(crate) cookie: String,
}

/// A client that follows nothing.
pub(crate) fn http() -> Client {
    static CLIENT: LazyLock<Client> =
        LazyLock::new(|| Client::builder().redirect(Policy::none()).build().expect("a client"));
    CLIENT.clone()
}

/// The cookie that an answer sets.
pub(crate) fn cookie_of(response: &Response) -> Option<String> {
    let cookie = response.headers().get("set-cookie")?.to_str().ok()?;
    cookie.split(';').next().map(str::to_owned)
}

/// What the key of the printed address is: the address stands in the bot's output, which the test's pipe has not kept.
pub(crate) fn key(bot: &Bot) -> String {
    countersign::web::entry_key(&countersign::web::Token::read(&bot.data()).expect("a token"))
}

impl<'a> Browser<'a> {
    /// Comes in with the key.
    pub(crate) async fn come_in(bot: &'a Bot) -> Self {
        let http = http();
        let url = format!("{}/enter", bot.url());
        let response = http.post(url).form(&[("key", key(bot).as_str())]).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let cookie = cookie_of(&response).expect("a cookie");
        Self { bot, http, cookie }
    }

    /// Comes in and speaks as somebody.
    pub(crate) async fn of(bot: &'a Bot, speaker: &str) -> Self {
        let mut browser = Self::come_in(bot).await;
        let token = browser.token_on("/people").await;
        let response = browser.post("/people", &[("token", &token), ("speaker", speaker)]).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        browser.cookie = cookie_of(&response).expect("a cookie");
        browser
    }

    /// Asks for a page as a browser would.
    pub(crate) async fn get(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.bot.url())).header("cookie", &self.cookie);
        request.header("accept", "text/html").send().await.expect("an answer")
    }

    /// A page that is there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.expect("a page")
    }

    /// Sends a form.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let request = self.http.post(format!("{}{path}", self.bot.url())).header("cookie", &self.cookie);
        request.form(fields).send().await.expect("an answer")
    }

    /// The token of a page's forms.
    pub(crate) async fn token_on(&self, path: &str) -> String {
        value_of(&self.page(path).await, "token").expect("a form")
    }

    /// Says a line in the room, as the page's form would.
    pub(crate) async fn say(&self, text: &str) -> StatusCode {
        let page = self.page("/rooms/system-a").await;
        let (token, id) = (value_of(&page, "token").expect("a token"), value_of(&page, "id").expect("a name"));
        let fields = [("token", token.as_str()), ("id", &id), ("text", text), ("back", "/rooms/system-a")];
        self.post("/rooms/system-a/lines", &fields).await.status()
    }

    /// Presses the button of a page that stands for a command; the page that follows.
    pub(crate) async fn press(&self, page: &str, command: &str, reason: &str) -> String {
        let text = self.page(page).await;
        let form = text.split("<form").find(|form| form.contains(&format!("value=\"{command}\"")));
        let form = form.unwrap_or_else(|| panic!("no button `{command}` on {page}: {text}"));
        let field = |name: &str| value_of(form, name).unwrap_or_default();
        let fields = ["token", "back", "interaction", "message", "thread", "command"].map(|name| (name, field(name)));
        let mut fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("reason", reason));
        let action = form.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an action");
        let response = self.post(action, &fields).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let next = response.headers()["location"].to_str().expect("a place").to_owned();
        self.page(&next).await
    }
}

/// The value of the first field of a name.
pub(crate) fn value_of(page: &str, name: &str) -> Option<String> {
    let (_, after) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    let raw = after.split('"').next()?;
    Some(raw.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}
