//! The pipe: `ID TEXT` in, `ID REPLY` out.
//!
//! What lives here: reading and writing such lines, and how many are under way at once. When there are that many, nothing
//! more is read until one is answered: whoever writes faster waits, and nothing piles up here.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Args;
use crate::cli::client::Client;
use crate::cli::line::{Broken, Heard, Saying, Waits, random_name};
use crate::web::wire::NewLine;

/// Lines that wait for their answer at once.
const OUTSTANDING: usize = 128;

/// Bytes of an input line: room for the longest text that the room takes, and an ID.
const MOST_LINE: usize = 32 * 1024;

/// Characters of an ID.
const MOST_ID: usize = 128;

/// Serves the pipe until its input ends and every line has its reply.
///
/// # Errors
/// When the input cannot be read, or a reply cannot be written.
pub(super) async fn run(
    args: &Args,
    client: &Client,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) -> anyhow::Result<()> {
    // As many replies as lines may be under way: a writer that is slow slows the reader down, nothing else.
    let (replies, taken) = mpsc::channel(OUTSTANDING);
    let mut writing = tokio::spawn(write(taken, output));
    let reading = read(args, client, input, replies);
    tokio::pin!(reading);
    tokio::select! {
        read = &mut reading => {
            // The writer ends when the last reply is written.
            let written = writing.await.context("the writer of replies ended badly")?;
            read.and(written)
        }
        written = &mut writing => {
            written.context("the writer of replies ended badly")??;
            // It ends by itself only after the reader has.
            reading.await
        }
    }
}

async fn read(
    args: &Args,
    client: &Client,
    input: impl AsyncRead + Unpin,
    replies: mpsc::Sender<String>,
) -> anyhow::Result<()> {
    let mut input = BufReader::new(input);
    let under_way = Arc::new(Semaphore::new(OUTSTANDING));
    let mut tasks = JoinSet::new();
    while let Some(line) = next_line(&mut input).await.context("the input cannot be read")? {
        while tasks.try_join_next().is_some() {}
        let (id, text) = match asked(&line) {
            Ok(Some(asked)) => asked,
            Ok(None) => continue,
            Err(reply) => {
                if replies.send(reply).await.is_err() {
                    break;
                }
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { break };
        let (args, client, replies) = (args.clone(), client.clone(), replies.clone());
        tasks.spawn(async move {
            let reply = reply(&id, answer(&args, &client, text).await);
            // Nobody takes it: then the writer has told why.
            let _ = replies.send(reply).await;
            drop(permit);
        });
    }
    // Each of them is bounded by the wait of its own line.
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Says a line and takes the first answer to it; `None` when there is none.
async fn answer(args: &Args, client: &Client, text: String) -> anyhow::Result<Option<String>> {
    let line =
        NewLine { speaker: args.speaker.clone(), text, thread: None, message_id: Some(random_name()?), wait_ms: None };
    let end = Instant::now() + args.wait;
    let saying = Saying { client, room: &args.room, end, waits: Waits::ForRuns, broken: Broken::SaysAgain };
    let first = saying.say(line, |line| {
        Ok(match Heard::read(line)? {
            Heard::Kept => None,
            Heard::Told(told) if told.edits => None,
            Heard::Told(told) => Some(First::Answer(told.text)),
            Heard::Settled(_) => Some(First::Nothing),
            Heard::TimedOut => Some(First::Late),
        })
    });
    match first.await? {
        Some(First::Answer(text)) => Ok(Some(text)),
        Some(First::Nothing) => Ok(None),
        Some(First::Late) | None => anyhow::bail!("no answer within {}", humantime::format_duration(args.wait)),
    }
}

/// What comes first for a line.
enum First {
    Answer(String),
    Nothing,
    Late,
}

/// The whole line of a reply.
fn reply(id: &str, answer: anyhow::Result<Option<String>>) -> String {
    match answer {
        Ok(None) => format!("{id} \n"),
        Ok(Some(text)) => {
            let text = one_line(&text);
            let is_error = text.split(' ').next() == Some("error");
            format!("{id} {}{text}\n", if is_error { "\\" } else { "" })
        }
        Err(error) => refusal(id, &format!("{error:#}")),
    }
}

fn refusal(id: &str, why: &str) -> String {
    format!("{id} error {}\n", one_line(why))
}

fn one_line(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

/// An input line taken apart: `None` for an empty one, which asks for nothing.
fn asked(line: &[u8]) -> Result<Option<(String, String)>, String> {
    if line.len() > MOST_LINE {
        return Err(refusal("-", &format!("a line has at most {MOST_LINE} bytes")));
    }
    let Ok(line) = std::str::from_utf8(line) else { return Err(refusal("-", "a line is UTF-8 text")) };
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Ok(None);
    }
    let (id, text) = line.split_once(' ').unwrap_or((line, ""));
    let is_id = !id.is_empty() && id != "-" && id.chars().count() <= MOST_ID && !id.chars().any(char::is_control);
    if !is_id {
        return Err(refusal("-", "a line is `ID TEXT`, the ID at most 128 characters and not `-`"));
    }
    if text.trim().is_empty() {
        return Err(refusal(id, "say something after the ID"));
    }
    Ok(Some((id.to_owned(), text.to_owned())))
}

/// The next line without its line feed; `None` at the end. Of one that is too long only so much is kept as shows that.
async fn next_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut began = false;
    loop {
        let buffer = input.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(began.then_some(line));
        }
        began = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(buffer, |end| &buffer[..end]);
        let room = (MOST_LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let taken = end.map_or(buffer.len(), |end| end + 1);
        input.consume(taken);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

async fn write(mut replies: mpsc::Receiver<String>, mut output: impl AsyncWrite + Unpin) -> anyhow::Result<()> {
    while let Some(reply) = replies.recv().await {
        let written = async {
            output.write_all(reply.as_bytes()).await?;
            output.flush().await
        };
        written.await.context("a reply cannot be written")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_or_refused_by_name() {
        let took = |line: &str| asked(line.as_bytes());
        assert_eq!(took("7 start service b"), Ok(Some(("7".to_owned(), "start service b".to_owned()))));
        assert_eq!(took("7 a  b \r"), Ok(Some(("7".to_owned(), "a  b ".to_owned()))));
        assert_eq!(took(""), Ok(None));
        for (line, refused) in [
            ("7", "7 error say something after the ID\n"),
            ("7  ", "7 error say something after the ID\n"),
            (" text", "- error a line is `ID TEXT`, the ID at most 128 characters and not `-`\n"),
            ("- text", "- error a line is `ID TEXT`, the ID at most 128 characters and not `-`\n"),
            ("\u{7}x text", "- error a line is `ID TEXT`, the ID at most 128 characters and not `-`\n"),
        ] {
            assert_eq!(took(line), Err(refused.to_owned()), "{line:?}");
        }
        assert_eq!(asked(b"7 \xff"), Err("- error a line is UTF-8 text\n".to_owned()));
        let long = format!("7 {}", "x".repeat(MOST_LINE));
        assert_eq!(took(&long), Err("- error a line has at most 32768 bytes\n".to_owned()));
    }

    #[test]
    fn replies_are_one_line_and_no_answer_reads_as_an_error() {
        let replied = |text: &str| reply("7", Ok(Some(text.to_owned())));
        assert_eq!(replied("a\nb\\n\rc"), "7 a\\nb\\\\n\\rc\n");
        assert_eq!(replied("error in step 1"), "7 \\error in step 1\n");
        assert_eq!(replied("errors: none"), "7 errors: none\n");
        assert_eq!(reply("7", Ok(None)), "7 \n");
        assert_eq!(reply("7", Err(anyhow::anyhow!("no\nanswer"))), "7 error no\\nanswer\n");
    }

    #[tokio::test]
    async fn input_of_any_shape_is_read_line_by_line() {
        let long = "x".repeat(3 * MOST_LINE);
        let text = format!("1 a\n\n{long}\n2 b");
        let mut input = BufReader::with_capacity(7, text.as_bytes());
        let mut lengths = Vec::new();
        while let Some(line) = next_line(&mut input).await.expect("it is there") {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [3, 0, MOST_LINE + 1, 3]);
    }
}
