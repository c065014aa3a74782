//! The command line that acts on the demo, as `supervisorctl` acts on a real supervisor.
//!
//! Exit codes: 0 done (or so already), 1 no such service, 2 wrong usage, 3 for `status` of what does not run, 4 no
//! supervisor answers, 7 it did not come up or was not there to kill.

use std::path::PathBuf;
use std::time::Duration;

use super::protocol::{self, MAX_SLOW, Question};

/// The longest wait for an answer: the slowest start, and some air.
const PATIENCE: Duration = Duration::from_secs(MAX_SLOW + 60);

/// Starts, stops and inspects the demo's services.
#[derive(Debug, Clone, clap::Args)]
pub struct CtlArgs {
    /// The demo's directory.
    #[arg(long, env = "COUNTERSIGN_DEMO", value_name = "DIR", global = true)]
    pub dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub deed: Deed,
}

/// What can be done to the demo. NAME is a service or `all`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum Deed {
    /// Start a service; returns when it answers.
    Start {
        /// A service or `all`.
        name: String,
    },
    /// Stop a service; returns when it is gone.
    Stop {
        /// A service or `all`.
        name: String,
    },
    /// Stop a service and start it.
    Restart {
        /// A service or `all`.
        name: String,
    },
    /// Show what a service is; exit code 3 if it does not run.
    Status {
        /// A service or `all`.
        #[arg(default_value = "all")]
        name: String,
    },
    /// Kill a service, as an outage would. It stays down.
    Kill {
        /// A service or `all`.
        name: String,
    },
    /// Let the starts of a service fail until it is mended.
    Break {
        /// A service or `all`.
        name: String,
    },
    /// Let the starts of a service work again, at full speed.
    Mend {
        /// A service or `all`.
        name: String,
    },
    /// Let the starts of a service take this long.
    Slow {
        /// A service or `all`.
        name: String,
        /// How long: `8s`, `2m`, or seconds alone; up to 600 seconds; 0 is full speed.
        #[arg(value_parser = seconds, value_name = "TIME")]
        seconds: u64,
    },
    /// End the supervisor and its services.
    Shutdown,
}

/// Whole seconds, written as in the catalog (`8s`, `1m 30s`) or as a number alone.
fn seconds(text: &str) -> Result<u64, String> {
    let wanted = || format!("expected a time of at most {MAX_SLOW} seconds, such as `8s`, `2m` or 8");
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let duration = humantime::parse_duration(text).map_err(|_| wanted())?;
            if duration.subsec_nanos() != 0 {
                return Err("expected whole seconds, such as `8s`".to_owned());
            }
            duration.as_secs()
        }
    };
    if seconds <= MAX_SLOW { Ok(seconds) } else { Err(wanted()) }
}

/// What came of a deed: what to show, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtlOutcome {
    /// What to show, without the last line feed. With `all`, a line for each service.
    pub line: String,
    /// The exit code; the module says what each means.
    pub code: u8,
}

/// Asks the supervisor and waits for what comes of it, as long as the slowest start may take.
pub async fn ctl(args: CtlArgs) -> CtlOutcome {
    let Some(dir) = args.dir else {
        return CtlOutcome { line: "which demo? Give --dir DIR or set COUNTERSIGN_DEMO".to_owned(), code: 2 };
    };
    match protocol::ask(&dir, &args.deed.into(), PATIENCE).await {
        Ok(answer) => CtlOutcome { line: answer.line, code: answer.code },
        Err(error) => CtlOutcome { line: error.to_string(), code: 4 },
    }
}

impl From<Deed> for Question {
    fn from(deed: Deed) -> Self {
        match deed {
            Deed::Start { name } => Self::Start { name },
            Deed::Stop { name } => Self::Stop { name },
            Deed::Restart { name } => Self::Restart { name },
            Deed::Status { name } => Self::Status { name },
            Deed::Kill { name } => Self::Kill { name },
            Deed::Break { name } => Self::Break { name },
            Deed::Mend { name } => Self::Mend { name },
            Deed::Slow { name, seconds } => Self::Slow { name, seconds },
            Deed::Shutdown => Self::Shutdown {},
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        ctl: CtlArgs,
    }

    fn deed(words: &[&str]) -> Result<Deed, String> {
        Line::try_parse_from([&["demo-ctl"], words].concat())
            .map(|line| line.ctl.deed)
            .map_err(|error| error.kind().to_string())
    }

    #[test]
    fn words_and_their_deeds() {
        assert_eq!(deed(&["start", "service-b"]), Ok(Deed::Start { name: "service-b".into() }));
        assert_eq!(deed(&["--dir", "/tmp/demo", "kill", "all"]), Ok(Deed::Kill { name: "all".into() }));
        assert_eq!(deed(&["status"]), Ok(Deed::Status { name: "all".into() }));
        assert_eq!(deed(&["slow", "service-b", "600"]), Ok(Deed::Slow { name: "service-b".into(), seconds: 600 }));
        for (text, seconds) in [("8s", 8), ("2m", 120), ("1m 30s", 90), ("0", 0), ("0s", 0), ("10m", 600)] {
            assert_eq!(
                deed(&["slow", "service-b", text]),
                Ok(Deed::Slow { name: "service-b".into(), seconds }),
                "{text}"
            );
        }
        for wrong in ["601", "11m", "1500ms", "-1", "soon", ""] {
            assert!(deed(&["slow", "service-b", wrong]).is_err(), "{wrong}");
        }
        assert!(deed(&["start"]).is_err());
        assert!(deed(&["strat", "service-b"]).is_err());
    }

    #[tokio::test]
    async fn without_a_directory_it_asks_for_one() {
        let outcome = ctl(CtlArgs { dir: None, deed: Deed::Shutdown }).await;
        insta::assert_snapshot!(outcome.line, @"which demo? Give --dir DIR or set COUNTERSIGN_DEMO");
        assert_eq!(outcome.code, 2);
    }

    #[tokio::test]
    async fn without_a_supervisor_it_says_so_in_one_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let args = CtlArgs { dir: Some(dir.path().to_owned()), deed: Deed::Start { name: "service-b".into() } };
        let outcome = ctl(args).await;
        assert_eq!(outcome.line, format!("no demo supervisor answers in {}", dir.path().display()));
        assert_eq!(outcome.code, 4);
    }
}
