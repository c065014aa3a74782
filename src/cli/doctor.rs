//! `countersign doctor`: looks at everything that `up` needs, says how it stands, and changes nothing.
//!
//! What lives here: what is looked at, in which order. What does not: the words (`text::doctor`), and asking Slack
//! (`chat::slack::checkup`). It posts nothing, opens no socket, starts no database and makes no file.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;

use super::up::SettingsArgs;
use crate::chat::slack::api::SLACK;
use crate::chat::slack::checkup::{Checkup, Installed, Trouble};
use crate::chat::slack::{PLATFORM, manifest};
use crate::config::{Database, DecisionSettings, Settings, SlackHears, SlackSettings};
use crate::engine::Secrets;
use crate::ledger::{self, Trial};
use crate::model::catalog::Catalog;
use crate::model::chat::{Account, UserGroup};
use crate::model::group::Kept;
use crate::model::id::{PersonId, PolicyName};
use crate::runbook;
use crate::store::{Clock, Passkey, Store, managed};
use crate::text;
use crate::text::doctor::{self as say, Finding, Level};
use crate::web::decisions;

/// How long a database is waited for.
const DATABASE_ANSWERS_WITHIN: Duration = Duration::from_secs(12);
/// How long a bot that runs here is waited for.
const BOT_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Look whether everything is there that `up` needs, in Slack too: one line for each thing, and what to do. Changes
/// nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// One JSON object a line: `level` (`ok`, `note`, `wrong`), `about`, `says`.
    #[arg(long)]
    json: bool,
}

/// Looks, and prints. The exit code is 1 when something is wrong.
///
/// # Errors
/// When nothing can be printed.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let json = args.json;
    let findings = look(args).await;
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        if json {
            let object = serde_json::json!({
                "level": finding.level.name(), "about": finding.about, "says": finding.says,
            });
            writeln!(out, "{object}")?;
        } else {
            writeln!(out, "{}", finding.line())?;
        }
    }
    if !json {
        writeln!(out, "{}", say::sum(&findings))?;
    }
    Ok(u8::from(findings.iter().any(|finding| finding.level == Level::Wrong)))
}

async fn look(args: Args) -> Vec<Finding> {
    let named = args.settings.config.as_ref().map(|path| path.display().to_string());
    let settings = Settings::read(args.settings.into());
    let settings = match settings {
        Ok(settings) => settings,
        // Everything else depends on them.
        Err(error) => {
            // What follows the first line is a drawing of the file.
            let error = format!("{error:#}");
            return vec![Finding::wrong("settings", error.lines().next().unwrap_or_default())];
        }
    };
    let mut findings = vec![Finding::ok("settings", named.unwrap_or_else(|| "no file; flags and defaults".to_owned()))];
    let catalog = catalog(&settings.catalog, &mut findings).await;
    let (clock, holders) = database(&settings, &mut findings).await;
    listening(&settings, &mut findings).await;
    let wanting = catalog.as_ref().map(Catalog::wanting_passkeys).unwrap_or_default();
    decisions(settings.decisions.as_ref(), &wanting, holders.as_ref(), &mut findings).await;
    match settings.slack.as_slice() {
        [] => findings
            .push(Finding::note("slack", "the settings name no workspace: `up` starts a trial with a local room")),
        workspaces => {
            let mut teams = Vec::new();
            for entry in workspaces {
                let looked = Workspace { entry, catalog: catalog.as_ref(), clock: &clock, findings: Vec::new() };
                let (team, found) = looked.look(&teams).await;
                teams.extend(team);
                findings.extend(found);
            }
            if let Some(catalog) = &catalog {
                findings.push(countersigners(catalog));
                // A workspace that could not be asked for its name is not known to be another.
                let all_known = teams.len() == workspaces.len();
                elsewhere(catalog, all_known.then_some(teams.as_slice()), &mut findings);
                let (every, good_for) = (settings.user_groups_every, settings.user_groups_good_for);
                if !catalog.user_groups().is_empty() {
                    findings.push(Finding::ok("user groups", say::believed(every, good_for)));
                }
            }
        }
    }
    findings
}

async fn catalog(root: &Path, findings: &mut Vec<Finding>) -> Option<Catalog> {
    let path = root.to_owned();
    let loaded = tokio::task::spawn_blocking(move || runbook::load(&path)).await.ok()?;
    match loaded {
        Ok(loaded) => {
            let catalog = loaded.catalog;
            let counts = [
                say::counted(catalog.runbooks.len(), "runbook", "runbooks"),
                say::counted(catalog.systems.len(), "system", "systems"),
                say::counted(catalog.people.len(), "person", "people"),
                say::counted(catalog.rooms.len(), "room", "rooms"),
            ];
            let counted = format!("{}: {}; all sound", root.display(), counts.join(", "));
            findings.push(Finding::ok("catalog", counted));
            let (_, problems) = Secrets::read(&catalog, &[]);
            findings.extend(problems.into_iter().map(|problem| Finding::wrong("catalog", problem)));
            Some(catalog)
        }
        Err(problems) => {
            let first = problems.lines().next().unwrap_or_default();
            let first = first.trim_end_matches('.');
            let says = format!(
                "{}, the first: {first}. `countersign validate {}` shows all",
                problems.count(),
                root.display()
            );
            findings.push(Finding::wrong("catalog", says));
            None
        }
    }
}

/// Who countersigns changes of who may do what. In a trial nobody does.
fn countersigners(catalog: &Catalog) -> Finding {
    let about = "access";
    let Some(named) = &catalog.access else {
        return Finding::note(about, text::access::nobody_is_named());
    };
    let mut people = catalog.people_in(&named.by);
    people.retain(|person| !named.changed_by.contains(person));
    let people: Vec<PersonId> = people.into_iter().collect();
    match people.as_slice() {
        // Whom a platform keeps is known to the bot, not here.
        _ if !catalog.unseen(&named.by).is_empty() => Finding::ok(about, say::a_group_countersigns(&people)),
        [] => Finding::wrong(about, say::nobody_can_countersign()),
        [one] => Finding::note(about, say::one_countersigns(one)),
        people => Finding::ok(about, say::they_countersign(people)),
    }
}

/// People who have a passkey.
type Holders = BTreeSet<PersonId>;

/// The database; the clock that the bot would go by, which is the database's; and who has a passkey, if it can be asked.
async fn database(settings: &Settings, findings: &mut Vec<Finding>) -> (Clock, Option<Holders>) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the managed database, which is not started here, has this machine's clock"
    )]
    let machine = Clock::starting_at(Utc::now());
    let about = "database";
    match &settings.database {
        Database::Auto => {
            findings.push(match managed::look(&settings.data).await {
                Ok(found) => {
                    Finding::ok(about, format!("Postgres {} in {} for `auto`", found.major, found.bin.display()))
                }
                Err(error) => Finding::wrong(about, error.to_string()),
            });
            (machine, None)
        }
        Database::Url(url) => {
            let Ok(options) = url.parse() else {
                let says = "the URL is none of Postgres; it looks like postgres://user:password@host/name";
                findings.push(Finding::wrong(about, says));
                return (machine, None);
            };
            let connected = tokio::time::timeout(DATABASE_ANSWERS_WITHIN, Store::connect_as_is(options)).await;
            match connected {
                Err(_) => {
                    findings.push(Finding::wrong(
                        about,
                        "it does not answer within 12 s: is it there, and is this machine let in?",
                    ));
                    (machine, None)
                }
                Ok(Err(error)) => {
                    findings.push(Finding::wrong(about, format!("it cannot be used: {}", text::chain(&error))));
                    (machine, None)
                }
                Ok(Ok(store)) => {
                    findings.push(schema(&store, settings).await);
                    let clock = store.clock().clone();
                    // Of tables that are another program's there is nothing to ask.
                    let passkeys = store.list_passkeys(None).await.ok();
                    store.close().await;
                    let in_use = |passkey: &Passkey| passkey.removed_at.is_none();
                    let holders = passkeys
                        .map(|passkeys| passkeys.into_iter().filter(in_use).map(|passkey| passkey.person).collect());
                    (clock, holders)
                }
            }
        }
    }
}

async fn schema(store: &Store, settings: &Settings) -> Finding {
    let about = "database";
    match store.is_current().await {
        Err(error) => Finding::wrong(about, text::chain(&error)),
        Ok(false) => {
            Finding::note(about, "it answers; its tables are not this program's yet: `up` makes or changes them")
        }
        Ok(true) => match ledger::begun(store).await {
            Err(error) => Finding::wrong(about, text::chain(&error)),
            Ok(Some(Trial::Yes)) if !settings.slack.is_empty() => Finding::wrong(
                about,
                "its ledger was begun by a trial, in which one person may speak as several: Slack needs a database of its own",
            ),
            Ok(Some(Trial::No)) if settings.slack.is_empty() => {
                Finding::wrong(about, "its ledger is no trial's, and without a workspace `up` would start a trial")
            }
            Ok(_) => Finding::ok(about, "it answers, and its tables are this program's"),
        },
    }
}

/// The bot's own address.
async fn listening(settings: &Settings, findings: &mut Vec<Finding>) {
    let (about, at) = ("listen", settings.listen);
    if at.port() == 0 {
        findings.push(Finding::ok(about, "a free port is taken"));
        return;
    }
    findings.push(match TcpListener::bind(at).await {
        Ok(_) => Finding::ok(about, say::free(&at.to_string())),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match healthy(at).await {
            true => Finding::ok(about, format!("a bot answers at {at}")),
            false => Finding::wrong(about, format!("something else listens at {at}: `--listen` takes another port")),
        },
        Err(error) => Finding::wrong(about, format!("nobody can listen at {at}: {error}")),
    });
}

/// The pages on which people decide with a passkey, and who of those asked has one.
async fn decisions(
    pages: Option<&DecisionSettings>,
    wanting: &[(PolicyName, Holders)],
    holders: Option<&Holders>,
    findings: &mut Vec<Finding>,
) {
    let about = "decisions";
    match pages {
        None if wanting.is_empty() => return,
        None => {
            let said = text::passkey::warnings(wanting, None, &Holders::new());
            findings.extend(said.into_iter().take(1).map(|says| Finding::wrong(about, says)));
        }
        Some(pages) => findings.push(match TcpListener::bind(pages.listen).await {
            Ok(_) => Finding::note(about, say::decisions_not_asked(&pages.listen.to_string(), &pages.origin)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => match decisions::answer_at(&pages.origin).await {
                Ok(()) => Finding::ok(about, say::decisions_answer(&pages.origin)),
                Err(why) => Finding::wrong(about, say::decisions_out_of_reach(&pages.origin, &why)),
            },
            Err(error) => Finding::wrong(about, format!("nobody can listen at {}: {error}", pages.listen)),
        }),
    }
    let Some(holders) = holders else {
        if !wanting.is_empty() {
            findings.push(Finding::note("passkeys", "who has one is known once the database can be asked"));
        }
        return;
    };
    // Whether there is a page was said already.
    let page = Some("");
    for (policy, asked) in wanting {
        let one = [(policy.clone(), asked.clone())];
        let nobody = asked.is_disjoint(holders);
        findings.extend(text::passkey::warnings(&one, page, holders).into_iter().map(|says| match nobody {
            true => Finding::wrong("passkeys", says),
            false => Finding::note("passkeys", says),
        }));
        if asked.is_subset(holders) {
            findings.push(Finding::ok("passkeys", say::all_have_passkeys(policy)));
        }
    }
}

async fn healthy(at: SocketAddr) -> bool {
    let Ok(http) = reqwest::Client::builder().no_proxy().timeout(BOT_ANSWERS_WITHIN).build() else { return false };
    // At 0.0.0.0 one listens; one asks at this machine's own.
    let ip = match at.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => std::net::Ipv4Addr::LOCALHOST.into(),
        ip if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let asked = http.get(format!("http://{}/healthz", SocketAddr::new(ip, at.port()))).send().await;
    asked.is_ok_and(|answer| answer.status().is_success())
}

/// What the catalog says of rooms, people and groups that no workspace of the settings has. `teams`: those of the
/// settings, if all of them are known.
fn elsewhere(catalog: &Catalog, teams: Option<&[String]>, findings: &mut Vec<Finding>) {
    let Some(teams) = teams else { return };
    let here = |platform: &str, workspace: &str| platform == PLATFORM && teams.iter().any(|team| team == workspace);
    let nowhere = |platform: &str, workspace: &str| match platform {
        PLATFORM => format!("no entry of `slack` in the settings is the workspace {workspace}"),
        "local" => "the trial's own room is closed beside a workspace; write an address such as slack:T1:C2".to_owned(),
        other => format!("nothing here speaks to {other}"),
    };
    for room in catalog.rooms.values() {
        let address = &room.address;
        if !here(&address.platform, &address.workspace) {
            let says = format!("{address}: {}", nowhere(&address.platform, &address.workspace));
            findings.push(Finding::wrong(format!("room {}", room.name), says));
        }
    }
    for person in catalog.people.values() {
        if !person.accounts.iter().any(|account| here(&account.platform, &account.workspace)) {
            let says = "no account in a workspace of the settings: cannot speak, cannot be asked";
            findings.push(Finding::note(format!("person {}", person.name), says));
        }
    }
    for (name, group) in &catalog.groups {
        let Kept::Platform { user_group, .. } = &group.kept else { continue };
        if !here(&user_group.platform, &user_group.workspace) {
            let says = format!("{user_group}: {}", nowhere(&user_group.platform, &user_group.workspace));
            findings.push(Finding::wrong(format!("group {name}"), says));
        }
    }
}

/// One workspace of the settings, being looked at.
struct Workspace<'a> {
    entry: &'a SlackSettings,
    catalog: Option<&'a Catalog>,
    clock: &'a Clock,
    findings: Vec<Finding>,
}

impl Workspace<'_> {
    fn ok(&mut self, about: impl Into<String>, says: impl Into<String>) {
        self.findings.push(Finding::ok(about, says));
    }

    fn note(&mut self, about: impl Into<String>, says: impl Into<String>) {
        self.findings.push(Finding::note(about, says));
    }

    fn wrong(&mut self, about: impl Into<String>, says: impl Into<String>) {
        self.findings.push(Finding::wrong(about, says));
    }

    /// Looks at it; its id, if Slack told it.
    async fn look(mut self, before: &[String]) -> (Option<String>, Vec<Finding>) {
        let api = self.entry.api.as_deref().unwrap_or(SLACK);
        let checkup = match Checkup::new(api) {
            Ok(checkup) => checkup,
            Err(error) => {
                self.wrong("slack", text::chain(&error));
                return (None, self.findings);
            }
        };
        let token = match self.entry.bot_token.read("the Slack bot's token", "xoxb-") {
            Ok(token) => Some(token),
            Err(error) => {
                self.wrong("bot token", format!("{error:#}"));
                None
            }
        };
        let mut team = None;
        if let Some(token) = token
            && let Some(installed) = self.bot(&checkup, &token).await
        {
            if before.contains(&installed.team) {
                self.wrong("bot token", format!("two entries of `slack` are the same workspace, {}", installed.team));
            }
            self.rights(&installed);
            self.time(&installed);
            self.hears(&checkup).await;
            if let Some(catalog) = self.catalog {
                self.rooms(&checkup, &token, catalog, &installed).await;
                self.people(&checkup, &token, catalog, &installed.team).await;
                self.groups(&checkup, &token, catalog, &installed.team).await;
            }
            team = Some(installed.team);
        } else {
            self.hears(&checkup).await;
        }
        (team, self.findings)
    }

    async fn bot(&mut self, checkup: &Checkup, token: &str) -> Option<Installed> {
        let about = "bot token";
        match checkup.installed(token).await {
            Ok(installed) if !installed.is_bot => {
                self.wrong(about, "Slack says that this is no bot's token; the bot's begins with xoxb-");
                None
            }
            Ok(installed) => {
                let (team, name) = (&installed.team, &installed.name);
                match self.entry.workspace.as_ref().filter(|wanted| *wanted != team) {
                    Some(wanted) => self
                        .wrong(about, format!("it is of the workspace {team} ({name}), and the settings say {wanted}")),
                    None => self.ok(about, format!("of the workspace {team} ({name}), as {}", installed.user)),
                }
                Some(installed)
            }
            Err(trouble) => {
                self.trouble(about, &trouble);
                None
            }
        }
    }

    /// What kept Slack from answering for a token.
    fn trouble(&mut self, about: &str, trouble: &Trouble) {
        match trouble {
            Trouble::Refused(code) => self.wrong(about, say::token_refused(code)),
            Trouble::NoWay(_) | Trouble::Busy | Trouble::Unreadable(_) => {
                let api = self.entry.api.as_deref().unwrap_or(SLACK);
                self.wrong(about, format!("Slack at {api}: {trouble}"));
            }
        }
    }

    fn rights(&mut self, installed: &Installed) {
        let about = "rights";
        let Some(has) = &installed.scopes else {
            self.note(about, "Slack does not say which the token has");
            return;
        };
        let lacks: Vec<(&str, &str)> = manifest::SCOPES
            .iter()
            .filter(|scope| !has.contains(scope.name))
            .map(|scope| (scope.name, scope.why))
            .collect();
        if lacks.is_empty() {
            self.ok(about, format!("all {} of the manifest", manifest::SCOPES.len()));
        } else {
            self.wrong(about, say::missing_scopes(&lacks));
        }
        let more: Vec<&str> = has
            .iter()
            .map(String::as_str)
            .filter(|name| !manifest::SCOPES.iter().any(|scope| scope.name == *name))
            .collect();
        if !more.is_empty() {
            self.note(about, say::needless_scopes(&more));
        }
    }

    fn time(&mut self, installed: &Installed) {
        match installed.time {
            Some(theirs) => {
                let ours: DateTime<Utc> = self.clock.now();
                self.findings.push(say::clock(ours - theirs));
            }
            None => self.note("clock", "Slack's answer has no time in it"),
        }
    }

    async fn hears(&mut self, checkup: &Checkup) {
        match &self.entry.hears {
            SlackHears::Socket { app_token } => {
                let about = "app token";
                match app_token.read("the Slack app's own token", "xapp-") {
                    Err(error) => self.wrong(about, format!("{error:#}")),
                    Ok(token) => match checkup.may_listen(&token).await {
                        Ok(()) => self.ok(about, "it may open a socket"),
                        Err(trouble) => self.trouble(about, &trouble),
                    },
                }
            }
            SlackHears::Requests { listen, signing_secret } => {
                match signing_secret.read("the Slack app's signing secret", "") {
                    Err(error) => self.wrong("signing secret", format!("{error:#}")),
                    Ok(_) => self.ok("signing secret", format!("read from {signing_secret}")),
                }
                let about = "requests";
                match TcpListener::bind(listen).await {
                    Ok(_) => self.ok(about, say::free(&listen.to_string())),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {
                        self.note(
                            about,
                            format!("something listens at {listen} already: a running bot, if it is yours"),
                        );
                    }
                    Err(error) => self.wrong(about, format!("nobody can listen at {listen}: {error}")),
                }
            }
        }
    }

    async fn rooms(&mut self, checkup: &Checkup, token: &str, catalog: &Catalog, installed: &Installed) {
        for room in catalog.rooms.values() {
            let address = &room.address;
            if address.platform != PLATFORM || address.workspace != installed.team {
                continue;
            }
            let about = format!("room {}", room.name);
            match checkup.channel(token, &address.channel).await {
                Ok(channel) => {
                    let named = format!("#{} ({})", channel.name, address.channel);
                    if channel.archived {
                        self.wrong(about, format!("{named} is archived: take it out of the archive, or name another"));
                    } else if !channel.member {
                        let invite = format!("`/invite <@{}>`", installed.user);
                        self.wrong(about, format!("the bot is not in {named}: say {invite} there"));
                    } else if channel.shared {
                        let says =
                            "people of other workspaces are in it, read all that is said there, and are nobody here";
                        self.note(about, format!("{named}: {says}"));
                    } else {
                        self.ok(about, named);
                    }
                }
                Err(Trouble::Refused(code)) => {
                    self.wrong(about, say::no_channel(&code, &address.channel, &installed.user));
                }
                Err(trouble) => self.wrong(about, format!("Slack was asked for it, and {trouble}")),
            }
        }
    }

    async fn people(&mut self, checkup: &Checkup, token: &str, catalog: &Catalog, team: &str) {
        for person in catalog.people.values() {
            let about = format!("person {}", person.name);
            let there = |account: &&Account| account.platform == PLATFORM && account.workspace == team;
            for account in person.accounts.iter().filter(there) {
                match checkup.member(token, &account.id).await {
                    Ok(member) => {
                        let of = member.team.as_ref().filter(|of| *of != team);
                        if member.deactivated {
                            self.wrong(&about, format!("{account} is switched off: take it out of people.yaml"));
                        } else if let Some(of) = of {
                            let right = format!("slack:{of}:{}", account.id);
                            self.wrong(
                                &about,
                                format!("{account} is of another workspace: as {right} it would be known"),
                            );
                        } else if member.bot {
                            self.wrong(
                                &about,
                                format!("{account} is an app's: whoever controls that app would be {}", person.name),
                            );
                        } else if member.guest {
                            self.note(&about, format!("{account} is a guest's"));
                        } else {
                            self.ok(&about, account.to_string());
                        }
                    }
                    Err(Trouble::Refused(code)) => {
                        self.wrong(&about, say::no_account(&code, &account.to_string()));
                        if code == "missing_scope" {
                            // It would be the same for everybody.
                            return;
                        }
                    }
                    Err(trouble) => self.wrong(&about, format!("Slack was asked for {account}, and {trouble}")),
                }
            }
        }
    }

    async fn groups(&mut self, checkup: &Checkup, token: &str, catalog: &Catalog, team: &str) {
        for (name, group) in &catalog.groups {
            let Kept::Platform { user_group: UserGroup { platform, workspace, id }, .. } = &group.kept else {
                continue;
            };
            if platform != PLATFORM || workspace != team {
                continue;
            }
            let about = format!("group {name}");
            match checkup.user_group(token, team, id).await {
                Ok(accounts) => {
                    let own: BTreeSet<&Account> = catalog.people.values().flat_map(|person| &person.accounts).collect();
                    let strangers = accounts.iter().filter(|account| !own.contains(account)).count();
                    let mut members: Vec<&str> = catalog
                        .people
                        .values()
                        .filter(|person| person.accounts.iter().any(|account| accounts.contains(account)))
                        .map(|person| person.name.as_str())
                        .collect();
                    members.sort_unstable();
                    let strangers = match strangers {
                        0 => String::new(),
                        1 => "; 1 other account in it is nobody's here".to_owned(),
                        count => format!("; {count} other accounts in it are nobody's here"),
                    };
                    if members.is_empty() {
                        let says = format!("nobody of the catalog is in {id}, so nobody has its rights{strangers}");
                        self.wrong(about, says);
                    } else {
                        self.ok(about, format!("{id}: {}{strangers}", members.join(", ")));
                    }
                }
                Err(Trouble::Refused(code)) => self.wrong(about, say::no_user_group(&code, id)),
                Err(trouble) => self.wrong(about, format!("Slack was asked for it, and {trouble}")),
            }
        }
    }
}
