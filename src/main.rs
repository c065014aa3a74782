//! Arguments and exit codes.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use countersign::demo;

/// A ChatOps bot with approval-gated runbooks.
#[derive(Debug, Parser)]
#[expect(clippy::enum_variant_names, reason = "the other commands are not wired yet")]
enum Command {
    /// Run the demo's supervisor.
    DemoServices(demo::ServeArgs),
    /// Act on the demo's services, as supervisorctl would.
    DemoCtl(demo::CtlArgs),
    #[command(hide = true)]
    DemoService(demo::ServiceArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
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
