//! `check`: asks checks whether they are ok, once or until they are.

use std::time::Duration;

use tokio::time::Instant;

use super::super::output::Capture;
use super::net::no_answer;
use super::run::{Ran, run};
use super::{Answering, Context, End, Seen, http, tcp};
use crate::model::catalog::ExitCodes;
use crate::model::event::{CheckResult, Health};
use crate::model::plan::{Exec, PlanCheck, PlanProbe, PlanUntil};
use crate::model::run::Outcome;

pub(super) async fn execute(
    checks: &[PlanCheck],
    until: Option<&PlanUntil>,
    answering: Answering,
    deadline: Instant,
    timeout: Duration,
    context: Context,
) -> End {
    let give_up_at = until.map(|until| (Instant::now() + Duration::from_millis(until.passes_within_ms)).min(deadline));
    let every = until.map_or(Duration::ZERO, |until| Duration::from_millis(until.every_ms));
    loop {
        let began = Instant::now();
        let mut results = Vec::new();
        let mut output = Capture::default();
        for check in checks {
            if Instant::now() >= deadline {
                return End::Seen(Seen {
                    outcome: Outcome::TimedOut,
                    exit_code: None,
                    summary: format!("not done after {} s", timeout.as_secs_f64()),
                    output,
                    checks: results,
                });
            }
            match ask(check, deadline, &context).await {
                Ok((result, said)) => {
                    output.push(said.as_bytes());
                    results.push(result);
                }
                Err(end) => return end,
            }
        }
        let worst = results.iter().map(|result| result.health).max().unwrap_or(Health::Unknown);
        let good = match answering {
            // A step that asks nothing has nothing against it. No catalog makes one: a service or system without checks does
            // not load. As the answer to a question it would say nothing.
            Answering::Step => worst == Health::Ok || checks.is_empty(),
            Answering::Question => worst != Health::Unknown,
        };
        let time_is_up = give_up_at.is_none_or(|give_up_at| began + every >= give_up_at);
        if good || time_is_up {
            return End::Seen(Seen {
                outcome: if good { Outcome::Succeeded } else { Outcome::Failed },
                exit_code: None,
                summary: summary(&results),
                output,
                checks: results,
            });
        }
        tokio::select! {
            () = tokio::time::sleep_until(began + every) => {}
            given = context.ordered() => return End::Ordered(given),
        }
    }
}

/// Asks one check. A check that cannot run or does not end in time is unknown, never healthy.
///
/// # Errors
/// How it ended when it did not come to an answer: by order, or with processes that are not proved gone.
pub(in crate::engine) async fn ask(
    check: &PlanCheck,
    deadline: Instant,
    context: &Context,
) -> Result<(CheckResult, String), End> {
    let own_deadline = (Instant::now() + Duration::from_millis(check.timeout_ms)).min(deadline);
    let timeout = Duration::from_millis(check.timeout_ms);
    let asked = match &check.probe {
        PlanProbe::Command { exec, codes } => return ask_command(check, exec, *codes, own_deadline, context).await,
        PlanProbe::Http(ask) => http::ask(ask, own_deadline, timeout, context).await,
        PlanProbe::Tcp(ask) => tcp::ask(ask, own_deadline, timeout, context).await,
    };
    let (health, detail, output) = asked.map_err(End::Ordered)?.health();
    Ok(answer(check, health, &detail, output, context))
}

/// A check's answer, with what was said beside it. What a process or a server said was redacted as it came; what we say
/// of it ourselves was not (I8).
fn answer(check: &PlanCheck, health: Health, detail: &str, said: Capture, context: &Context) -> (CheckResult, String) {
    let (service, check) = (check.service.clone(), check.check.clone());
    let result = CheckResult { service, check, health, detail: context.secrets.redact(detail) };
    (result, String::from_utf8_lossy(&said.finish().0).into_owned())
}

async fn ask_command(
    check: &PlanCheck,
    exec: &Exec,
    codes: ExitCodes,
    deadline: Instant,
    context: &Context,
) -> Result<(CheckResult, String), End> {
    let timeout = Duration::from_millis(check.timeout_ms);
    let (health, detail, said) = match run(exec, deadline, context).await {
        Ran::Exited { code, how, output } => (health(codes, code), output.first_line().unwrap_or(how), output),
        Ran::TimedOut { output } => (Health::Unknown, no_answer(timeout), output),
        Ran::NotStarted(why) => (Health::Unknown, why, Capture::default()),
        Ran::Ordered(orders) => return Err(End::Ordered(orders)),
        Ran::NotProvedGone(why) => return Err(End::NotProvedGone(why)),
    };
    Ok(answer(check, health, &detail, said, context))
}

/// What an exit code means; `None` is a death by signal, which tells nothing.
fn health(codes: ExitCodes, code: Option<i32>) -> Health {
    match (codes, code) {
        (_, Some(0)) => Health::Ok,
        (_, None) => Health::Unknown,
        // What a shell or `env` says of a program that it cannot find or start.
        (_, Some(126 | 127)) => Health::Unknown,
        (ExitCodes::Plain, Some(_)) => Health::Critical,
        (ExitCodes::Nagios, Some(1)) => Health::Warning,
        (ExitCodes::Nagios, Some(2)) => Health::Critical,
        (ExitCodes::Nagios, Some(_)) => Health::Unknown,
    }
}

fn summary(results: &[CheckResult]) -> String {
    let word = |health| match health {
        Health::Ok => "ok",
        Health::Warning => "warning",
        Health::Critical => "critical",
        Health::Unknown => "unknown",
    };
    let parts: Vec<String> = results
        .iter()
        .map(|result| format!("{} {} {}: {}", result.service, result.check, word(result.health), result.detail))
        .collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_mean_what_the_catalog_says() {
        let table = [
            (ExitCodes::Plain, Some(0), Health::Ok),
            (ExitCodes::Plain, Some(3), Health::Critical),
            (ExitCodes::Plain, Some(127), Health::Unknown),
            (ExitCodes::Plain, None, Health::Unknown),
            (ExitCodes::Nagios, Some(1), Health::Warning),
            (ExitCodes::Nagios, Some(2), Health::Critical),
            (ExitCodes::Nagios, Some(3), Health::Unknown),
            (ExitCodes::Nagios, Some(77), Health::Unknown),
        ];
        for (codes, code, expected) in table {
            assert_eq!(health(codes, code), expected, "{codes:?} {code:?}");
        }
    }

    #[test]
    fn unknown_is_the_worst() {
        assert!(
            Health::Unknown > Health::Critical && Health::Critical > Health::Warning && Health::Warning > Health::Ok
        );
    }
}
