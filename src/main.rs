//! Arguments and exit codes.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use countersign::cli::{plan, validate};
use countersign::demo;

/// A ChatOps bot with approval-gated runbooks.
#[derive(Debug, Parser)]
enum Command {
    Validate(validate::ValidateArgs),
    Plan(plan::PlanArgs),
    /// Run the demo's supervisor.
    DemoServices(demo::ServeArgs),
    /// Act on the demo's services, as supervisorctl would.
    DemoCtl(demo::CtlArgs),
    #[command(hide = true)]
    DemoService(demo::ServiceArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Command::parse()).await {
        Ok(code) => code,
        Err(error) => {
            // A broken standard error leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    // Fails only if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match command {
        Command::Validate(args) => return Ok(ExitCode::from(validate::run(args)?)),
        Command::Plan(args) => return Ok(ExitCode::from(plan::run(args).await?)),
        Command::DemoServices(args) => {
            tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
            demo::serve(args).await?;
        }
        Command::DemoService(args) => demo::service(args).await?,
        Command::DemoCtl(args) => {
            let outcome = demo::ctl(args).await;
            writeln!(std::io::stdout(), "{}", outcome.line)?;
            return Ok(ExitCode::from(outcome.code));
        }
    }
    Ok(ExitCode::SUCCESS)
}
