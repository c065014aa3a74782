//! Arguments and exit codes: 0 done, 1 refused or failed (one line on stderr), 2 wrong usage.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use countersign::{cli, demo};

/// A ChatOps bot with approval-gated runbooks: asked in the room, countersigned in the thread, run as shown, recorded for
/// good.
#[derive(Debug, Parser)]
#[command(
    name = "countersign",
    version,
    max_term_width = 100,
    after_help = "These are the commands that people use first: `countersign help --all` lists all of them, \
                  `countersign help COMMAND` tells about one. The exit code is 0 when it is done, 1 when it was refused \
                  or failed, 2 when the command was not written as it should be."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

// The first six are shown by `--help`; `all_commands` shows the others as well.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = "Example: countersign up --catalog runbooks --data ./data")]
    Up(cli::up::Args),
    #[command(
        after_help = "Example: countersign say --server http://127.0.0.1:7373 --as mei --room system-a --wait 30s \
                            start service b"
    )]
    Say(cli::say::Args),
    #[command(
        after_help = "Examples:\n  countersign console --server http://127.0.0.1:7373 --as mei --room system-a\n  \
                            echo '1 is service b running' | countersign console --stdio --server \
                            http://127.0.0.1:7373 --as mei --room system-a"
    )]
    Console(cli::console::Args),
    #[command(after_help = "Example: countersign validate runbooks")]
    Validate(cli::validate::ValidateArgs),
    #[command(after_help = "Example: countersign plan start-service service=service-b --server http://127.0.0.1:7373")]
    Plan(cli::plan::PlanArgs),
    #[command(
        hide = true,
        subcommand,
        after_help = "Examples:\n  countersign policy explain start-service service=service-b --as mei --at \
                            2026-12-24T03:00Z\n  countersign policy test policy-tests.yaml"
    )]
    Policy(cli::policy::Command),
    #[command(after_help = "Example: countersign report INC-7 --format html --out inc-7.html --data DIR")]
    Report(cli::report::Args),
    #[command(
        hide = true,
        after_help = "Example: countersign tail --server http://127.0.0.1:7373 --room system-a --follow"
    )]
    Tail(cli::tail::Args),
    #[command(
        hide = true,
        after_help = "Example: countersign init ./catalog --title 'The shop' --service 'Web shop' --yes"
    )]
    Init(cli::init::Args),
    #[command(
        hide = true,
        after_help = "Example: countersign schema > catalog.schema.json\nThen, as the first line of a \
                                         file: # yaml-language-server: $schema=catalog.schema.json"
    )]
    Schema(cli::schema::Args),
    #[command(
        hide = true,
        subcommand,
        after_help = "Example: countersign audit verify --server http://127.0.0.1:7373 --head 20:6f28de09178d"
    )]
    Audit(cli::audit::Command),
    #[command(
        hide = true,
        subcommand,
        after_help = "Example: countersign access accept 7K3F --as mei --because \"boss has left\" --data ./data"
    )]
    Access(cli::access::Command),
    #[command(hide = true, subcommand, after_help = "Example: countersign keys rotate --server http://127.0.0.1:7373")]
    Keys(cli::keys::Command),
    #[command(hide = true, subcommand, after_help = "Example: countersign slack manifest > slack-app.yaml")]
    Slack(cli::slack::Command),
    #[command(
        hide = true,
        subcommand,
        after_help = "Example: countersign passkey invite boss --server http://127.0.0.1:7373"
    )]
    Passkey(cli::passkey::Command),
    #[command(hide = true, after_help = "Example: countersign doctor --config countersign.yaml")]
    Doctor(cli::doctor::Args),
    #[command(
        hide = true,
        after_help = "Example: countersign completions bash > \
                                         ~/.local/share/bash-completion/completions/countersign"
    )]
    Completions(cli::completions::Args),
    #[command(hide = true, after_help = "Example: countersign healthcheck --ready")]
    Healthcheck(cli::healthcheck::Args),
    #[command(hide = true, after_help = "Example: countersign bench --help")]
    Bench(cli::bench::Args),
    /// Run the demo's supervisor (the trial starts it by itself).
    #[command(hide = true, after_help = "Example: countersign demo-services --help")]
    DemoServices(demo::ServeArgs),
    /// Act on the demo's services, as supervisorctl would.
    #[command(hide = true, after_help = "Example: countersign demo-ctl status service-b")]
    DemoCtl(demo::CtlArgs),
    #[command(hide = true)]
    DemoService(demo::ServiceArgs),
}

/// What only the program itself starts.
const INTERNAL: &str = "demo-service";

/// The commands with none of them hidden but those that only the program itself starts.
fn all_commands() -> clap::Command {
    Arguments::command()
        .mut_subcommands(|command| if command.get_name() == INTERNAL { command } else { command.hide(false) })
        .after_help("`countersign help COMMAND` tells about one.")
}

/// Whether all commands are asked for: `help --all`, or `--help --all`.
fn asks_for_all(arguments: &[OsString]) -> bool {
    let one =
        |wanted: &[&str]| arguments.iter().filter(|word| wanted.iter().any(|wanted| *word == wanted)).count() == 1;
    arguments.len() == 2 && one(&["--all"]) && one(&["help", "--help", "-h"])
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if asks_for_all(&words) {
        let printed = all_commands().print_help();
        return ExitCode::from(u8::from(printed.is_err()));
    }
    let arguments = Arguments::parse();
    // The one provider of cryptography; a second call would only say that it is there already.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the runtime could not be started: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(run(arguments.command));
    // A read from a terminal or a pipe cannot be called off: what has ended does not wait for it.
    runtime.shutdown_background();
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&countersign::text::chain(error.as_ref()));
            ExitCode::from(1)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Up(args) => cli::up::run(args).await,
        Command::Say(args) => cli::say::run(args).await,
        Command::Console(args) => cli::console::run(args).await,
        Command::Tail(args) => cli::tail::run(args).await,
        Command::Validate(args) => cli::validate::run(args),
        Command::Plan(args) => cli::plan::run(args).await,
        Command::Policy(command) => cli::policy::run(command),
        Command::Report(args) => cli::report::run(args).await,
        Command::Audit(command) => cli::audit::run(command).await,
        Command::Access(command) => cli::access::run(command).await,
        Command::Keys(command) => cli::keys::run(command).await,
        Command::Slack(command) => cli::slack::run(&command),
        Command::Passkey(command) => cli::passkey::run(command).await,
        Command::Doctor(args) => cli::doctor::run(args).await,
        Command::Init(args) => cli::init::run(args),
        Command::Schema(args) => cli::schema::run(&args),
        Command::Completions(args) => cli::completions::run(&args, all_commands()),
        Command::Healthcheck(args) => cli::healthcheck::run(args).await,
        Command::Bench(args) => cli::bench::run(args).await,
        Command::DemoServices(args) => {
            cli::start_logging(cli::LogFormat::Text)?;
            demo::serve(args).await?;
            Ok(0)
        }
        Command::DemoService(args) => {
            demo::service(args).await?;
            Ok(0)
        }
        Command::DemoCtl(args) => {
            let outcome = demo::ctl(args).await;
            let mut out: Box<dyn Write> =
                if matches!(outcome.code, 2 | 4) { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
            writeln!(out, "{}", outcome.line)?;
            Ok(outcome.code)
        }
    }
}

fn complain(what: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "countersign: {what}");
}
