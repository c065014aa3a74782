//! One demo service: a real process that answers `GET /health` on a loopback port of its own.
//!
//! It tells its port in one line on stdout and lives only as long as its stdin: the supervisor holds the other end, so
//! even a supervisor that was killed leaves no service behind. It knows nothing of the supervisor otherwise.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::protocol;

/// What a service says before its address, once it listens.
const LISTENING: &str = "listening ";

/// One service of the demo. The supervisor starts it; it ends when its stdin does.
#[derive(Debug, Clone, clap::Args)]
pub struct ServiceArgs {
    /// Its name, for people who look at the process list.
    pub name: String,
    /// Where it listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Seconds to wait before it listens.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub slow: u64,
    /// Fail instead of listening.
    #[arg(long)]
    pub broken: bool,
}

/// Serves until stdin ends or a signal comes.
///
/// # Errors
/// When it is told to fail, when the address cannot be had, and when stdout cannot be written.
pub async fn service(args: ServiceArgs) -> anyhow::Result<()> {
    let (ended, parent_gone) = tokio::sync::oneshot::channel();
    // A plain thread: one of the runtime's would keep the process alive until stdin ends, also after an error.
    std::thread::spawn(move || {
        wait_for_end(io::stdin().lock());
        let _ = ended.send(());
    });
    tokio::select! {
        served = listen_and_serve(&args) => served,
        _ = parent_gone => Ok(()),
    }
}

async fn listen_and_serve(args: &ServiceArgs) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_secs(args.slow)).await;
    if args.broken {
        bail!("{} is broken until somebody mends it", args.name);
    }
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("{} cannot listen on {}", args.name, args.listen))?;
    let address = listener.local_addr().context("the port that was bound")?;
    let mut stdout = io::stdout();
    stdout
        .write_all(format!("{LISTENING}{address}\n").as_bytes())
        .and_then(|()| stdout.flush())
        .context("telling the address on stdout")?;
    let pages = Router::new().route("/health", get(|| async { "ok" }));
    axum::serve(listener, pages).await.context("serving")
}

fn wait_for_end(mut from: impl Read) {
    let mut ignored = [0; 64];
    loop {
        match from.read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Waits until a service has told its address on `stdout` and really answers there. The caller sets the time limit.
pub(crate) async fn came_up(mut stdout: impl AsyncRead + Unpin) -> io::Result<SocketAddr> {
    let line = protocol::read_line(&mut stdout).await?;
    let address = line
        .strip_prefix(LISTENING)
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the service told no address"))?;
    probe(address).await?;
    Ok(address)
}

/// One `GET /health`; anything but a 200 is an error.
async fn probe(address: SocketAddr) -> io::Result<()> {
    const WANTED: &[u8] = b"HTTP/1.1 200 ";
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut head = [0; WANTED.len()];
    stream.read_exact(&mut head).await?;
    if head == WANTED { Ok(()) } else { Err(io::Error::other("the service answered, but not with 200")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn serve_one(page: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, page).await });
        address
    }

    #[tokio::test]
    async fn it_is_up_when_it_answers_and_not_when_it_says_so() {
        let good = serve_one(Router::new().route("/health", get(|| async { "ok" }))).await;
        assert_eq!(came_up(format!("listening {good}\n").as_bytes()).await.unwrap(), good);

        let without_health = serve_one(Router::new()).await;
        assert!(came_up(format!("listening {without_health}\n").as_bytes()).await.is_err());
    }

    #[tokio::test]
    async fn a_service_that_ends_or_babbles_is_not_up() {
        for said in ["", "listening", "listening nowhere\n", "hello\n"] {
            assert!(came_up(said.as_bytes()).await.is_err(), "{said}");
        }
    }

    #[test]
    fn the_end_of_stdin_is_seen_past_anything_written_to_it() {
        wait_for_end(&b"anything at all, longer than one read of sixty-four bytes can take in at once"[..]);
    }
}
