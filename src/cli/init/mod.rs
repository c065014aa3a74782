//! `countersign init`: a few questions, then a catalog of one's own.
//!
//! What lives here: asking, and writing without ever overwriting. What does not: what an answer must be ([`answers`]), and
//! the files' text ([`files`]). What was written is validated as any other catalog, by the same reader.

mod answers;
mod files;

use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use self::answers::{Answers, QUESTIONS, Question};
use super::place::local_world;
use super::validate::{ValidateArgs, validate};
use crate::engine::plan::World;

/// Write a catalog of your own: a few questions, then commented files that are valid and can be changed at will.
///
/// Each question has a flag. What is not given by a flag is asked, or with --yes taken as it stands in brackets.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The folder to write into; made if it is not there. No file is ever overwritten.
    #[arg(value_name = "DIR", default_value = "runbooks")]
    pub dir: PathBuf,
    /// What people call the system.
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Its environment, such as production or scratch: stands before everything that concerns it.
    #[arg(long, value_name = "WORD")]
    pub environment: Option<String>,
    /// What people call its first service.
    #[arg(long, value_name = "TEXT")]
    pub service: Option<String>,
    /// How its health is asked: a command that ends with 0 when it is well (no shell reads it), or an http address.
    #[arg(long, value_name = "COMMAND|URL")]
    pub check: Option<String>,
    /// What restarts it: a command. No shell reads it.
    #[arg(long, value_name = "COMMAND")]
    pub restart: Option<String>,
    /// Who may ask for a restart: names, separated by commas; a name may have its account, as in mei=slack:T1:U2.
    #[arg(long, value_name = "PEOPLE")]
    pub ask: Option<String>,
    /// Who may approve it: the same.
    #[arg(long, value_name = "PEOPLE")]
    pub approve: Option<String>,
    /// The room's address, platform:workspace:channel; local:trial:NAME is a room of the trial.
    #[arg(long, value_name = "ADDRESS")]
    pub room: Option<String>,
    /// Ask nothing: take what stands in brackets for what no flag says.
    #[arg(long)]
    pub yes: bool,
}

/// Writes the catalog. The exit code: 0 it is written and valid, 1 it is written beside files with which it is not.
///
/// # Errors
/// With one sentence, when an answer does not fit, a file is there already, or nothing can be written.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    init(&args, &local_world()?, &mut io::stdin().lock(), &mut out, &mut err)
}

/// Writes the catalog with given places to ask and to tell.
///
/// # Errors
/// As [`run`].
pub fn init(
    args: &Args,
    world: &dyn World,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<u8> {
    let dir = args.dir.display();
    if args.dir.exists() && !args.dir.is_dir() {
        bail!("{dir} is not a folder: name one that is empty or not there yet");
    }
    refuse_what_is_there(&args.dir)?;
    let answers = ask(args, input, out)?;
    // Somebody may have taken their time.
    refuse_what_is_there(&args.dir)?;
    std::fs::create_dir_all(&args.dir).with_context(|| format!("the folder {dir} cannot be made"))?;
    for (name, text) in files::files(&answers) {
        let path = args.dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| format!("{} cannot be written", path.display()))?;
        writeln!(out, "wrote {}", path.display())?;
    }
    let code = validate(&ValidateArgs { dir: args.dir.clone() }, world, out, err)?;
    if code == 0 {
        writeln!(out, "\n{}", next_steps(args, &answers))?;
    } else {
        writeln!(
            err,
            "The files that were there before and the new ones do not go together: change what is drawn above."
        )?;
    }
    Ok(code)
}

/// A folder in which one of the files stands is left alone.
fn refuse_what_is_there(dir: &Path) -> anyhow::Result<()> {
    let there: Vec<&str> = files::NAMES.into_iter().filter(|name| dir.join(name).symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Ok(());
    }
    bail!(
        "{} has {} already, and nothing is overwritten: name another folder, such as `countersign init ./catalog`",
        dir.display(),
        there.join(" and ")
    )
}

fn ask(args: &Args, input: &mut dyn BufRead, out: &mut dyn Write) -> anyhow::Result<Answers> {
    let mut answers = Answers::default();
    for question in &QUESTIONS {
        match (question.flag(args), args.yes) {
            (Some(given), _) => {
                let taken = (question.take)(&mut answers, given);
                taken.map_err(|why| anyhow::anyhow!("--{}: {why}", question.name))?;
            }
            (None, true) => {
                let default = (question.default)(&answers);
                let taken = (question.take)(&mut answers, &default);
                taken.map_err(|why| anyhow::anyhow!("--{}: {why}", question.name))?;
            }
            (None, false) => ask_one(question, &mut answers, input, out)?,
        }
    }
    Ok(answers)
}

fn ask_one(
    question: &Question,
    answers: &mut Answers,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    loop {
        let default = (question.default)(answers);
        write!(out, "{} [{default}]: ", question.asks)?;
        out.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line).context("the answer cannot be read")? == 0 {
            writeln!(out)?;
            bail!("the answers ended: nothing is written. `--yes` takes what stands in brackets, flags say the rest");
        }
        let said = line.trim();
        match (question.take)(answers, if said.is_empty() { &default } else { said }) {
            Ok(()) => return Ok(()),
            Err(why) => writeln!(out, "  {why}")?,
        }
    }
}

/// What one does with the catalog.
fn next_steps(args: &Args, answers: &Answers) -> String {
    let dir = args.dir.display();
    let up = match args.dir == Path::new("runbooks") {
        true => "countersign up".to_owned(),
        false => format!("countersign up --catalog {dir}"),
    };
    let asker = answers.askers.first().map(|person| person.name.as_str()).unwrap_or_default();
    let restart = format!("restart {}", answers.service_name().replace('-', " "));
    let then = match answers.local_channel() {
        Some(channel) => format!(
            "Then, in another terminal, say `{restart}` as {asker}:\n  \
             countersign console --server http://127.0.0.1:7373 --as {asker} --room {channel}"
        ),
        None => format!("Then say `{restart}` in the room."),
    };
    format!("Next:\n  {up}\n{then}\nEvery file says what its words mean; `countersign validate {dir}` checks a change.")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::engine::plan::LocalWorld;
    use crate::flow::make_plan;
    use crate::runbook;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn world() -> LocalWorld {
        LocalWorld { search_path: vec!["/usr/bin".into(), "/bin".into()], host: "app-1".to_owned() }
    }

    fn args(dir: &Path, further: &[&str]) -> Args {
        let words = ["init".to_owned(), dir.display().to_string()];
        Program::parse_from(words.into_iter().chain(further.iter().map(|word| (*word).to_owned()))).args
    }

    /// What is printed, the folder's name replaced: the exit code or the refusal, stdout, stderr.
    fn told(args: &Args, input: &str) -> (Result<u8, String>, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = init(args, &world(), &mut input.as_bytes(), &mut out, &mut err);
        let plain = |text: String| text.replace(&args.dir.display().to_string(), "DIR");
        let text = |bytes| plain(String::from_utf8(bytes).expect("text"));
        (code.map_err(|error| plain(format!("{error:#}"))), text(out), text(err))
    }

    /// The first line that the runbook's plan shows.
    fn planned(dir: &Path, service: &str) -> String {
        let catalog = runbook::load(dir).unwrap_or_else(|problems| panic!("{problems}")).catalog;
        let sealed = make_plan(&catalog, "restart", [("service", service)], chrono::DateTime::UNIX_EPOCH, &world())
            .expect("a plan");
        let plan = sealed.open().expect("a plan");
        format!("{}\n{}", plan.deed, crate::text::plan::steps(&plan).join("\n"))
    }

    #[test]
    fn with_flags_and_yes_it_writes_a_catalog_that_loads_and_plans() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("new/catalog");
        let flags = ["--yes", "--title", "The \"Shop\" #1: öl", "--service", "Web shop", "--check", "test -d '/a b'"];
        let args = args(
            &dir,
            &[&flags[..], &["--restart", "true", "--ask", "Mei Tan,boss", "--approve", "boss,lin"]].concat(),
        );
        let (code, out, err) = told(&args, "");
        assert_eq!((code, err.as_str()), (Ok(0), ""));
        insta::assert_snapshot!(out, @r"
        wrote DIR/health.yaml
        wrote DIR/people.yaml
        wrote DIR/policy.yaml
        wrote DIR/restart.yaml
        wrote DIR/rooms.yaml
        wrote DIR/system.yaml
        DIR: 2 runbooks, 1 system, 1 service, 1 policy, 3 people, 2 groups, 1 room; all sound

        Next:
          countersign up --catalog DIR
        Then, in another terminal, say `restart web shop` as mei-tan:
          countersign console --server http://127.0.0.1:7373 --as mei-tan --room the-shop-1-l
        Every file says what its words mean; `countersign validate DIR` checks a change.
        ");
        insta::assert_snapshot!(planned(&dir, "web shop"), @r"
        restart web-shop
        1 ! run    true   on app-1, at most 1 min
                   (is /usr/bin/true)
        2   check  web-shop running   within 30 s, every 2 s
                   test -d '/a b'
                   (is /usr/bin/test)
        ");
    }

    #[test]
    fn every_default_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = args(folder.path(), &["--yes"]);
        let (code, _, err) = told(&args, "");
        assert_eq!((code, err.as_str()), (Ok(0), ""));
        let loaded = runbook::load(folder.path()).expect("it loads");
        assert_eq!(loaded.files, files::NAMES.map(str::to_owned));
    }

    #[test]
    fn questions_are_asked_again_until_the_answer_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = args(folder.path(), &["--environment", "scratch"]);
        let input = "\nMy  System\nWeb\ntrue | false\ntrue\ntrue web\nslack\nlocal:trial:ops\nmei\nmei\nboss, lin\n";
        let (code, out, err) = told(&args, input);
        assert_eq!((code, err.as_str()), (Ok(0), ""));
        let asked = out.split("wrote ").next().unwrap_or_default();
        insta::assert_snapshot!(asked.replace("]: ", "]:\n"), @r"
        What do people call the system? [My system]:
        What do people call its first service? [Web server]:
          a service and its system are said by name alone, so they need two names
        What do people call its first service? [Web server]:
        How is its health asked: a command that ends with 0, or an http address? [systemctl is-active web]:
          no shell reads it, so `|` would mean nothing: write a script and name that, or put it in quotes
        How is its health asked: a command that ends with 0, or an http address? [systemctl is-active web]:
        Which command restarts it? [systemctl restart web]:
        The room's address, platform:workspace:channel? [local:trial:my-system]:
          `slack` is not an address: write it as local:trial:ops or slack:T1:C2
        The room's address, platform:workspace:channel? [local:trial:my-system]:
        Who may ask for a restart? [mei]:
        Who may approve it? [boss]:
          mei needs somebody else: nobody approves what they asked for themselves
        Who may approve it? [boss]:
        ");
        assert_eq!(planned(folder.path(), "web").lines().next(), Some("restart web"));
    }

    #[test]
    fn nothing_is_written_when_the_answers_end_or_do_not_fit() {
        let folder = tempfile::tempdir().expect("a folder");
        let (code, _, _) = told(&args(folder.path(), &[]), "Shop\n");
        insta::assert_snapshot!(code.expect_err("no answers"), @"the answers ended: nothing is written. `--yes` takes what stands in brackets, flags say the rest");
        let wrong =
            |flags: &[&str]| told(&args(folder.path(), &[&["--yes"], flags].concat()), "").0.expect_err("wrong");
        let said: Vec<String> = [
            &["--title", " "][..],
            &["--title", "Shop", "--service", "shop"],
            &["--environment", "two words"],
            &["--check", "curl -s http://x | grep ok"],
            &["--check", "'open"],
            &["--check", "http://mei:secret@h/"],
            &["--restart", "restart {{ service }}"],
            &["--ask", "mei", "--approve", "mei"],
            &["--ask", "mei,mei"],
            &["--ask", "mei=nonsense"],
            &["--room", "ops"],
            &["--room", "slack:T1:C2"],
        ]
        .into_iter()
        .map(wrong)
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        --title: `` makes no name: it needs a letter of a to z first
        --service: a service and its system are said by name alone, so they need two names
        --environment: `two words` is not one word of lower-case letters
        --check: no shell reads it, so `|` would mean nothing: write a script and name that, or put it in quotes
        --check: a quotation mark is not closed
        --check: write the address as http://127.0.0.1:8080/health, without a password
        --restart: write the service's own name where it belongs: it becomes the parameter
        --approve: mei needs somebody else: nobody approves what they asked for themselves
        --ask: mei is named twice
        --ask: `nonsense` is not an account: write it as slack:T1:U2
        --room: `ops` is not an address: write it as local:trial:ops or slack:T1:C2
        --ask: mei needs an account there: write mei=slack:T1:USER
        ");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn nothing_is_overwritten_and_other_files_are_joined() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("people.yaml"), "mine\n").expect("written");
        let (code, out, _) = told(&args(folder.path(), &["--yes"]), "");
        insta::assert_snapshot!(code.expect_err("there"), @"DIR has people.yaml already, and nothing is overwritten: name another folder, such as `countersign init ./catalog`");
        assert_eq!(out, "");
        assert_eq!(std::fs::read_to_string(folder.path().join("people.yaml")).expect("there"), "mine\n");

        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("notes.txt"), "mine\n").expect("written");
        std::fs::write(folder.path().join("more.yaml"), "rooms: {other: {address: 'local:trial:other'}}\n")
            .expect("written");
        assert_eq!(told(&args(folder.path(), &["--yes"]), "").0, Ok(0));
        assert_eq!(runbook::load(folder.path()).expect("it loads").catalog.rooms.len(), 2);

        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("broken.yaml"), "runbok: x\n").expect("written");
        let (code, _, err) = told(&args(folder.path(), &["--yes"]), "");
        assert_eq!(code, Ok(1));
        assert!(err.contains("broken.yaml") && err.contains("do not go together"), "{err}");
    }

    #[test]
    fn rooms_of_other_platforms_have_their_accounts() {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = ["--room", "slack:T1:C2", "--ask", "mei=slack:T1:U2", "--approve", "boss=slack:T1:U3"];
        let (code, out, err) = told(&args(folder.path(), &[&["--yes"], &flags[..]].concat()), "");
        assert_eq!((code, err.as_str()), (Ok(0), ""));
        assert!(out.contains("in the room."), "{out}");
        let catalog = runbook::load(folder.path()).expect("it loads").catalog;
        assert!(catalog.person_of(&"slack:T1:U2".parse().expect("an account")).is_some());
    }
}
