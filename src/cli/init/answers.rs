//! The questions of `init`, and what an answer must be.
//!
//! What lives here: one row for each question: its flag, its words, what stands in brackets, and how it is taken. What
//! does not: asking. An answer is checked when it is given, so that nobody answers eight questions for nothing.

use super::Args;
use crate::model::chat::{Account, RoomAddress};
use crate::model::glyph;

/// The greatest length of a catalog's name.
const LONGEST_NAME: usize = 40;

/// Characters of a title.
const LONGEST_TITLE: usize = 60;

/// What was answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    pub(super) title: String,
    pub(super) environment: String,
    pub(super) service: String,
    pub(super) check: How,
    pub(super) restart: Vec<String>,
    pub(super) askers: Vec<Person>,
    pub(super) approvers: Vec<Person>,
    pub(super) room: Option<RoomAddress>,
}

/// How a service's health is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// By a program.
    Command(Vec<String>),
    /// By a GET request.
    Http(String),
}

impl Default for How {
    fn default() -> Self {
        Self::Command(Vec::new())
    }
}

/// A person and where they speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: String,
    /// `None`: as their name, in the trial's room.
    pub(super) account: Option<Account>,
}

impl Answers {
    /// The system's name.
    pub(super) fn system_name(&self) -> String {
        slug(&self.title)
    }

    /// The service's name.
    pub(super) fn service_name(&self) -> String {
        slug(&self.service)
    }

    /// The room's channel, if it is a room of the trial.
    pub(super) fn local_channel(&self) -> Option<&str> {
        self.room.as_ref().filter(|room| room.platform == "local").map(|room| room.channel.as_str())
    }

    /// Everybody, once.
    pub(super) fn people(&self) -> Vec<&Person> {
        let mut people: Vec<&Person> = self.askers.iter().collect();
        people
            .extend(self.approvers.iter().filter(|person| !self.askers.iter().any(|asker| asker.name == person.name)));
        people
    }
}

/// One question.
pub(super) struct Question {
    /// Its flag, without the dashes.
    pub(super) name: &'static str,
    /// Its words.
    pub(super) asks: &'static str,
    /// What stands in brackets, given what was answered before.
    pub(super) default: fn(&Answers) -> String,
    /// Takes an answer, or says in one sentence what it should be.
    pub(super) take: fn(&mut Answers, &str) -> Result<(), String>,
}

impl Question {
    /// What the flag says, if it is given.
    pub(super) fn flag<'a>(&self, args: &'a Args) -> Option<&'a str> {
        let given = match self.name {
            "title" => &args.title,
            "environment" => &args.environment,
            "service" => &args.service,
            "check" => &args.check,
            "restart" => &args.restart,
            "room" => &args.room,
            "ask" => &args.ask,
            "approve" => &args.approve,
            _ => &None,
        };
        given.as_deref()
    }
}

/// In the order asked. The room comes before the people, as their accounts are of its platform.
pub(super) const QUESTIONS: [Question; 8] = [
    Question {
        name: "title",
        asks: "What do people call the system?",
        default: |_| "My system".to_owned(),
        take: |answers, said| {
            answers.title = title(said)?;
            Ok(())
        },
    },
    Question {
        name: "environment",
        asks: "Its environment, such as production or scratch?",
        default: |_| "production".to_owned(),
        take: |answers, said| {
            if !is_name(said) {
                return Err(format!("`{}` is not one word of lower-case letters", shown(said)));
            }
            said.clone_into(&mut answers.environment);
            Ok(())
        },
    },
    Question {
        name: "service",
        asks: "What do people call its first service?",
        default: |_| "Web server".to_owned(),
        take: |answers, said| {
            let service = title(said)?;
            if slug(&service) == answers.system_name() {
                return Err("a service and its system are said by name alone, so they need two names".to_owned());
            }
            answers.service = service;
            Ok(())
        },
    },
    Question {
        name: "check",
        asks: "How is its health asked: a command that ends with 0, or an http address?",
        default: |answers| format!("systemctl is-active {}", answers.service_name()),
        take: |answers, said| {
            answers.check = how(said)?;
            Ok(())
        },
    },
    Question {
        name: "restart",
        asks: "Which command restarts it?",
        default: |answers| format!("systemctl restart {}", answers.service_name()),
        take: |answers, said| {
            answers.restart = command(said)?;
            Ok(())
        },
    },
    Question {
        name: "room",
        asks: "The room's address, platform:workspace:channel?",
        default: |answers| format!("local:trial:{}", answers.system_name()),
        take: |answers, said| {
            let room: RoomAddress = said.parse().map_err(|_| {
                format!("`{}` is not an address: write it as local:trial:ops or slack:T1:C2", shown(said))
            })?;
            answers.room = Some(room);
            Ok(())
        },
    },
    Question {
        name: "ask",
        asks: "Who may ask for a restart?",
        default: |_| "mei".to_owned(),
        take: |answers, said| {
            answers.askers = people(said, answers)?;
            Ok(())
        },
    },
    Question {
        name: "approve",
        asks: "Who may approve it?",
        default: |_| "boss".to_owned(),
        take: |answers, said| {
            let approvers = people(said, answers)?;
            let alone = |asker: &&Person| approvers.iter().all(|approver| approver.name == asker.name);
            if let Some(asker) = answers.askers.iter().find(alone) {
                let why = "nobody approves what they asked for themselves";
                return Err(format!("{} needs somebody else: {why}", asker.name));
            }
            let differs = |person: &&Person| {
                answers.askers.iter().any(|asker| asker.name == person.name && asker.account != person.account)
            };
            if let Some(person) = approvers.iter().find(differs) {
                return Err(format!("{} has another account than before: write the same", person.name));
            }
            answers.approvers = approvers;
            Ok(())
        },
    },
];

fn title(said: &str) -> Result<String, String> {
    let said = said.trim();
    if said.chars().count() > LONGEST_TITLE || said.chars().any(glyph::hidden) {
        return Err(format!("a title has at most {LONGEST_TITLE} characters, all of which one can see"));
    }
    if !is_name(&slug(said)) {
        return Err(format!("`{}` makes no name: it needs a letter of a to z first", shown(said)));
    }
    Ok(said.to_owned())
}

/// An address, or else a command.
fn how(said: &str) -> Result<How, String> {
    let said = said.trim();
    if !said.starts_with("http://") && !said.starts_with("https://") {
        return command(said).map(How::Command);
    }
    let fits = said
        .parse::<reqwest::Url>()
        .is_ok_and(|url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let plain = !said.chars().any(|letter| letter.is_whitespace() || glyph::hidden(letter)) && !said.contains("{{");
    if fits && plain {
        return Ok(How::Http(said.to_owned()));
    }
    Err("write the address as http://127.0.0.1:8080/health, without a password".to_owned())
}

/// The arguments of a command as a shell would part them, without anything that only a shell understands.
fn command(said: &str) -> Result<Vec<String>, String> {
    if said.contains("{{") {
        return Err("write the service's own name where it belongs: it becomes the parameter".to_owned());
    }
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for letter in said.trim().chars() {
        if glyph::hidden(letter) {
            return Err("a command holds only characters that one can see".to_owned());
        }
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '|' | '&' | ';' | '<' | '>' | '$' | '`' | '*' | '\\') => {
                return Err(format!(
                    "no shell reads it, so `{letter}` would mean nothing: write a script and name that, or put it in quotes"
                ));
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed".to_owned());
    }
    words.extend(word);
    match words.first() {
        Some(program) if !program.is_empty() && !program.starts_with('-') => Ok(words),
        _ => Err("a command begins with a program".to_owned()),
    }
}

fn people(said: &str, answers: &Answers) -> Result<Vec<Person>, String> {
    let mut people: Vec<Person> = Vec::new();
    for said in said.split(',').map(str::trim).filter(|said| !said.is_empty()) {
        let (name, account) = match said.split_once('=') {
            None => (said, None),
            Some((name, account)) => {
                let parsed = account.parse::<Account>();
                let account =
                    parsed.map_err(|_| format!("`{}` is not an account: write it as slack:T1:U2", shown(account)))?;
                (name.trim(), Some(account))
            }
        };
        let name = slug(name);
        if !is_name(&name) {
            return Err(format!("`{}` makes no name: it needs a letter of a to z first", shown(said)));
        }
        if let Some(room) = answers.room.as_ref().filter(|room| account.is_none() && room.platform != "local") {
            let (platform, workspace) = (&room.platform, &room.workspace);
            return Err(format!("{name} needs an account there: write {name}={platform}:{workspace}:USER"));
        }
        if people.iter().any(|person| person.name == name) {
            return Err(format!("{name} is named twice"));
        }
        people.push(Person { name, account });
    }
    if people.is_empty() { Err("name at least one person".to_owned()) } else { Ok(people) }
}

/// A name made of a title: its letters and digits in lower case, hyphens between.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for letter in title.chars().flat_map(char::to_lowercase) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(LONGEST_NAME);
    slug.trim_end_matches('-').to_owned()
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase()) && slug(name) == name
}

fn shown(said: &str) -> String {
    crate::text::visible::echo(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_parted_as_one_expects() {
        let parts = |said: &str| command(said).map(|words| words.join("|"));
        assert_eq!(parts("systemctl  is-active web"), Ok("systemctl|is-active|web".to_owned()));
        assert_eq!(parts("sh -c 'a | b' \"c d\"e ''"), Ok("sh|-c|a | b|c de|".to_owned()));
        for wrong in ["", " ", "''", "-x", "a | b", "a $HOME", "a 'b", "a\u{202e}"] {
            assert!(command(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn names_come_of_titles() {
        assert_eq!(slug("The \"Shop\" #1: öl"), "the-shop-1-l");
        assert_eq!(slug("  --A--  "), "a");
        assert!(slug(&"a ".repeat(100)).len() <= LONGEST_NAME && !slug(&"a ".repeat(100)).ends_with('-'));
    }

    #[test]
    fn every_question_has_its_flag() {
        let some = |text: &str| Some(text.to_owned());
        let args = Args {
            dir: "x".into(),
            title: some("title"),
            environment: some("environment"),
            service: some("service"),
            check: some("check"),
            restart: some("restart"),
            ask: some("ask"),
            approve: some("approve"),
            room: some("room"),
            yes: false,
        };
        for question in &QUESTIONS {
            assert_eq!(question.flag(&args), Some(question.name));
        }
    }
}
