//! `countersign completions`: what a shell needs to complete commands and flags.
//!
//! What lives here: printing it. What does not: the definition of the commands, which `main` has and hands over.

use std::io::{self, Write};

use clap_complete::{Shell, generate};

/// Print the completions of a shell: load them where your shell looks for such.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the completions of a program's commands. The exit code is 0.
///
/// # Errors
/// When nothing can be printed.
pub fn run(args: &Args, mut program: clap::Command) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    let name = program.get_name().to_owned();
    generate(args.shell, &mut program, name, &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(0)
}
