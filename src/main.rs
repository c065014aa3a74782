//! Arguments and exit codes: 0 done, 1 refused or failed (one line on stderr), 2 wrong usage.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use countersign::{cli, demo};

/// A ChatOps bot with approval-gated runbooks: asked in the room, countersigned in the thread, run as shown, recorded for
/// good.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(cli::up::Args),
    Say(cli::say::Args),
    Console(cli::console::Args),
    Tail(cli::tail::Args),
    Validate(cli::validate::ValidateArgs),
    Plan(cli::plan::PlanArgs),
    Report(cli::report::Args),
    #[command(subcommand)]
    Audit(cli::audit::Command),
    Healthcheck(cli::healthcheck::Args),
    Bench(cli::bench::Args),
    /// Run the demo's supervisor (the trial starts it by itself).
    DemoServices(demo::ServeArgs),
    /// Act on the demo's services, as supervisorctl would.
    DemoCtl(demo::CtlArgs),
    #[command(hide = true)]
    DemoService(demo::ServiceArgs),
}

fn main() -> ExitCode {
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
        Command::Report(args) => cli::report::run(args).await,
        Command::Audit(command) => cli::audit::run(command).await,
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
