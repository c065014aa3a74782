//! One question, one answer, over the supervisor's unix socket: a line of JSON each, both bounded.
//!
//! What lives here: the lines, their bounds, and the asking side. What does not: what a question does.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// The longest line that either side reads, in bytes, with its line feed.
pub(crate) const MAX_LINE: u64 = 4096;

/// The longest path of a unix socket that Linux takes, in bytes, without the closing zero.
pub(crate) const MAX_SOCKET_PATH: usize = 107;

/// The longest time, in seconds, that a start can be told to take.
pub(crate) const MAX_SLOW: u64 = 600;

/// What is asked of the supervisor. `name` is a service or `all`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Question {
    /// Are you there.
    Hello {},
    /// Make it run.
    Start { name: String },
    /// End it in order.
    Stop { name: String },
    /// Stop, then start.
    Restart { name: String },
    /// Kill it, as an outage would.
    Kill { name: String },
    /// What is it.
    Status { name: String },
    /// From now on its starts fail.
    Break { name: String },
    /// From now on its starts work, and take no longer than they must.
    Mend { name: String },
    /// From now on its starts take this many seconds.
    Slow { name: String, seconds: u64 },
    /// End yourself and all services.
    Shutdown {},
}

/// What the supervisor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// What to show: one line for each service that was asked about.
    pub(crate) line: String,
    /// The exit code that tells it to scripts.
    pub(crate) code: u8,
    /// The supervisor's process.
    pub(crate) supervisor: u32,
}

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The path cannot be a socket's.
    #[error(
        "{} is {} bytes long and a socket's path has room for {MAX_SOCKET_PATH}: choose a shorter directory",
        .0.display(),
        .0.as_os_str().len()
    )]
    PathTooLong(PathBuf),
    /// Nobody listens there.
    #[error("no demo supervisor answers in {}", .dir.display())]
    Unreachable {
        /// The demo's directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It took the question and said nothing, or nothing that can be read.
    #[error("the demo supervisor in {} gave no answer", .dir.display())]
    NoAnswer {
        /// The demo's directory.
        dir: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// The supervisor's socket in `dir`, if its path is short enough to be one.
pub(crate) fn socket_in(dir: &Path) -> Result<PathBuf, AskError> {
    let path = dir.join("control.sock");
    if path.as_os_str().len() > MAX_SOCKET_PATH { Err(AskError::PathTooLong(path)) } else { Ok(path) }
}

/// Asks the supervisor in `dir` and waits for its answer for `patience` at most.
pub(crate) async fn ask(dir: &Path, question: &Question, patience: Duration) -> Result<Answer, AskError> {
    let socket = socket_in(dir)?;
    let mut stream =
        UnixStream::connect(&socket).await.map_err(|source| AskError::Unreachable { dir: dir.to_owned(), source })?;
    let conversation = async {
        write_line(&mut stream, question).await?;
        let line = read_line(&mut stream).await?;
        serde_json::from_str(&line).map_err(io::Error::from)
    };
    match tokio::time::timeout(patience, conversation).await {
        Ok(answer) => answer,
        Err(late) => Err(io::Error::new(io::ErrorKind::TimedOut, late)),
    }
    .map_err(|source| AskError::NoAnswer { dir: dir.to_owned(), source })
}

/// Writes one value as one line. JSON keeps line feeds of the value inside its quotes.
pub(crate) async fn write_line<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

/// Reads one line of at most [`MAX_LINE`] bytes. A line that does not end is refused, not cut.
pub(crate) async fn read_line(from: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(from.take(MAX_LINE)).read_line(&mut line).await?;
    if line.pop() == Some('\n') {
        Ok(line)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("no whole line within {MAX_LINE} bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_on_the_wire() {
        let wire = |question| serde_json::to_string(&question).unwrap();
        insta::assert_snapshot!(wire(Question::Hello {}), @r#"{"ask":"hello"}"#);
        insta::assert_snapshot!(wire(Question::Start { name: "service-b".into() }), @r#"{"ask":"start","name":"service-b"}"#);
        insta::assert_snapshot!(
            wire(Question::Slow { name: "all".into(), seconds: 30 }),
            @r#"{"ask":"slow","name":"all","seconds":30}"#
        );
    }

    #[test]
    fn what_is_not_a_question_is_refused() {
        for line in ["", "{}", "start service-b", r#"{"ask":"start"}"#, r#"{"ask":"start","name":"b","force":true}"#] {
            assert!(serde_json::from_str::<Question>(line).is_err(), "{line}");
        }
    }

    #[tokio::test]
    async fn a_line_is_read_whole_or_not_at_all() {
        assert_eq!(read_line(&mut &b"one\ntwo\n"[..]).await.unwrap(), "one");
        assert!(read_line(&mut &b"cut"[..]).await.is_err());
        assert!(read_line(&mut &b""[..]).await.is_err());
        let endless = vec![b'x'; 2 * MAX_LINE as usize];
        assert!(read_line(&mut &endless[..]).await.is_err());
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_told_with_its_length() {
        let dir = PathBuf::from(format!("/tmp/{}", "d".repeat(95)));
        assert!(socket_in(&dir.with_file_name("d".repeat(89))).is_ok());
        let error = socket_in(&dir).unwrap_err().to_string();
        assert!(
            error.ends_with("is 113 bytes long and a socket's path has room for 107: choose a shorter directory"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn nobody_there_is_one_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let error = ask(dir.path(), &Question::Hello {}, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("no demo supervisor answers in {}", dir.path().display()));
    }
}
