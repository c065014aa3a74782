//! `countersign schema`: the catalog's JSON Schema, for editors.

use std::io::{self, Write};

use crate::runbook;

/// Print the JSON Schema of a catalog's files, for editors that complete and check YAML by one.
///
/// It knows every key and its type. What only a whole catalog can tell, such as whether a policy exists, is told by
/// `countersign validate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {}

/// Prints the schema. The exit code is 0.
///
/// # Errors
/// When nothing can be printed.
pub fn run(_args: &Args) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &runbook::schema())?;
    out.write_all(b"\n")?;
    Ok(0)
}
