//! `run`: a program with arguments, in its own process group, never a shell line.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::super::output::Capture;
use super::super::redact::Redactor;
use super::{Context, End, Orders, Seen, end_all, prepare};
use crate::model::plan::Exec;
use crate::model::run::Outcome;
use crate::sys;

/// How long the pipes may stay open after the process has ended: something that it left in the background may hold them.
const PIPES_LINGER: Duration = Duration::from_millis(200);

/// What a process came to.
pub(super) enum Ran {
    Exited { code: Option<i32>, how: String, output: Capture },
    TimedOut { output: Capture },
    Ordered(Orders),
    NotStarted(String),
    NotProvedGone(String),
}

pub(super) async fn execute(exec: &Exec, deadline: Instant, timeout: Duration, context: Context) -> End {
    match run(exec, deadline, &context).await {
        Ran::Exited { code: Some(0), output, .. } => End::Seen(Seen {
            outcome: Outcome::Succeeded,
            exit_code: Some(0),
            summary: output.last_line().unwrap_or_default(),
            output,
            checks: Vec::new(),
        }),
        Ran::Exited { code, how, output } => End::Seen(Seen {
            outcome: Outcome::Failed,
            exit_code: code,
            summary: match output.last_line() {
                Some(line) => format!("{how}: {line}"),
                None => how,
            },
            output,
            checks: Vec::new(),
        }),
        Ran::TimedOut { output } => End::Seen(Seen {
            outcome: Outcome::TimedOut,
            exit_code: None,
            summary: format!("not done after {} s; its processes were ended", timeout.as_secs_f64()),
            output,
            checks: Vec::new(),
        }),
        Ran::NotStarted(why) => End::Seen(Seen::failed(why)),
        Ran::Ordered(orders) => End::Ordered(orders),
        Ran::NotProvedGone(why) => End::NotProvedGone(why),
    }
}

/// Runs one process to its end, its deadline or an order.
pub(super) async fn run(exec: &Exec, deadline: Instant, context: &Context) -> Ran {
    let prepared = prepare(exec, context);
    // Last of all: this process may have stood still since it wrote that the attempt starts.
    match context.orders_now() {
        Orders::GoOn => {}
        given => return Ran::Ordered(given),
    }
    let mut ordered = std::pin::pin!(context.ordered());
    let started = prepared
        .and_then(|spawn| sys::spawn(spawn).map_err(|error| format!("{} could not be started: {error}", exec.program)));
    let mut child = match started {
        Ok(child) => child,
        Err(why) => return Ran::NotStarted(why),
    };
    let leader = child.identity().clone();
    context.process.send_replace(Some(leader.clone()));
    let (send, mut receive) = mpsc::channel(16);
    let readers = [
        child.take_stdout().map(|pipe| tokio::spawn(read(pipe, context.secrets.redactor(), send.clone()))),
        child.take_stderr().map(|pipe| tokio::spawn(read(pipe, context.secrets.redactor(), send.clone()))),
    ];
    drop(send);
    let mut output = Capture::default();
    let mut ended = None;
    let mut pipes_open = true;
    // Set once the process has ended: then the pipes may linger a little, no longer.
    let mut linger = None::<Instant>;
    let stopped = loop {
        if ended.is_some() && !pipes_open {
            break None;
        }
        let until = linger.unwrap_or(deadline);
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(until) => break if linger.is_some() { None } else { Some(None) },
            given = &mut ordered, if ended.is_none() => break Some(Some(given)),
            status = child.wait(), if ended.is_none() => {
                linger = Some(Instant::now() + PIPES_LINGER);
                ended = Some(status);
            }
            chunk = receive.recv(), if pipes_open => match chunk {
                Some(chunk) => {
                    output.push(&chunk);
                    progress(&context.progress, &output);
                }
                None => pipes_open = false,
            },
        }
    };
    let ran = match (stopped, ended) {
        (None, Some(Ok(status))) => {
            use std::os::unix::process::ExitStatusExt;
            let how = match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit {code}"),
                (None, Some(signal)) => format!("ended by signal {signal}"),
                (None, None) => "ended in an unknown way".to_owned(),
            };
            Ran::Exited { code: status.code(), how, output }
        }
        (None, Some(Err(error))) => Ran::NotStarted(format!("its end could not be seen: {error}")),
        (stopped, _) => {
            // At once, while the pid is certainly its own; then with proof.
            if let Err(error) = child.kill_group() {
                tracing::warn!(%error, attempt = %context.marker, "a process group could not be signalled");
            }
            let gone = tokio::join!(end_all(Some(&leader), context), child.wait()).0;
            match (gone, stopped.flatten()) {
                (Err(why), _) => Ran::NotProvedGone(why),
                (Ok(()), Some(orders)) => Ran::Ordered(orders),
                (Ok(()), None) => {
                    while let Ok(Some(chunk)) = tokio::time::timeout(PIPES_LINGER, receive.recv()).await {
                        output.push(&chunk);
                    }
                    Ran::TimedOut { output }
                }
            }
        }
    };
    for reader in readers.into_iter().flatten() {
        reader.abort();
    }
    ran
}

fn progress(tell: &watch::Sender<Option<String>>, output: &Capture) {
    tell.send_if_modified(|line| {
        let last = output.last_line();
        let differs = *line != last;
        *line = last;
        differs
    });
}

/// Reads a pipe to its end, redacted before anybody else sees it (I8).
async fn read(mut pipe: impl AsyncRead + Unpin, mut redactor: Redactor, send: mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                let clean = redactor.push(&buffer[..length]);
                if !clean.is_empty() && send.send(clean).await.is_err() {
                    return;
                }
            }
        }
    }
    let rest = redactor.finish();
    if !rest.is_empty() {
        // Nobody may be there to hear the end of it.
        let _ = send.send(rest).await;
    }
}
