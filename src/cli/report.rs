//! `countersign report`: the whole record of an incident, as Markdown, JSON or a page.
//!
//! With `--server` a running bot answers; with `--database` or `--data` the database is read directly. What is written is
//! verified with the whole ledger first, and says so.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use reqwest::Method;

use super::place::{Place, PlaceArgs};
use crate::model::id::IncidentId;
use crate::store::Store;
use crate::text::report::{Format, set};
use crate::text::time::Times;
use crate::web::incidents::{SOUND, make};
use crate::web::wire::IncidentTold;

/// Write the whole record of an incident.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which, such as INC-7 or 7 [default: the newest that is not resolved, else the newest].
    #[arg(value_name = "INCIDENT")]
    incident: Option<Number>,
    #[command(flatten)]
    place: PlaceArgs,
    /// `md` for reading, `json` for programs, `html` as a page for printing.
    #[arg(long, value_name = "FORMAT", default_value = "md", value_parser = parse_format)]
    format: Format,
    /// Write it to this file [default: to standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Say times in this zone, such as Europe/Berlin; a running bot says them in its own [default: UTC].
    #[arg(long, value_name = "ZONE", conflicts_with = "server", value_parser = parse_zone)]
    time_zone: Option<Tz>,
}

/// An incident's number as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(IncidentId);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let rest = lower.strip_prefix("inc").unwrap_or(&lower);
        let digits = rest.strip_prefix(['-', '#']).unwrap_or(rest);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse::<i64>().ok().filter(|number| plain && *number > 0);
        number.map(|number| Self(IncidentId(number))).ok_or_else(|| "write it as INC-7 or 7".to_owned())
    }
}

fn parse_format(text: &str) -> Result<Format, String> {
    Format::parse(text).ok_or_else(|| "write md, json or html".to_owned())
}

fn parse_zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "write the zone's name, such as Europe/Berlin or Asia/Singapore".to_owned())
}

/// A report that was made.
struct Made {
    text: String,
    sound: bool,
}

/// Runs `report`.
///
/// # Errors
/// When there is no such incident, or the ledger cannot be reached or read. A ledger that is not sound is told, and is exit
/// code 1; the report is written all the same, and says where.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let place = args.place.open().await?;
    let made = match &place {
        Place::Server(client) => ask(client, &args).await,
        Place::Store(store, _) => read(store, &args).await,
    };
    place.close().await?;
    let made = made?;
    match &args.out {
        Some(path) => {
            std::fs::write(path, &made.text).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        None => std::io::stdout().lock().write_all(made.text.as_bytes())?,
    }
    if made.sound {
        return Ok(0);
    }
    writeln!(std::io::stderr(), "countersign: the ledger is not sound: the end of the report says where")?;
    Ok(1)
}

/// The one that is meant, of incidents with whether they are over, newest first.
fn chosen(named: Option<Number>, known: impl IntoIterator<Item = (IncidentId, bool)>) -> anyhow::Result<IncidentId> {
    if let Some(Number(id)) = named {
        return Ok(id);
    }
    let mut newest = None;
    for (id, over) in known {
        if !over {
            return Ok(id);
        }
        newest = newest.or(Some(id));
    }
    newest.context("there has been no incident yet")
}

async fn ask(client: &super::client::Client, args: &Args) -> anyhow::Result<Made> {
    let known: Vec<IncidentTold> = match args.incident {
        Some(_) => Vec::new(),
        None => {
            let response = client.send(client.request(Method::GET, &["api", "v1", "incidents"])).await?;
            response.json().await.context("the server speaks another version of this API")?
        }
    };
    let id = chosen(args.incident, known.iter().map(|told| (told.incident, told.state == "resolved")))?;
    let number = id.to_string();
    let request = client
        .request(Method::GET, &["api", "v1", "incidents", &number, "report"])
        .query(&[("format", args.format.name())]);
    let response = client.send(request).await?;
    let sound = response.headers().get(SOUND).is_some_and(|value| value == "sound");
    let text = response.text().await.context("the report broke off")?;
    Ok(Made { text, sound })
}

async fn read(store: &Store, args: &Args) -> anyhow::Result<Made> {
    let times = Times::in_zone(args.time_zone.unwrap_or(Tz::UTC));
    let known = match args.incident {
        Some(_) => Vec::new(),
        None => store.list_incidents(None, 200).await.context("the incidents cannot be read")?,
    };
    let id = chosen(args.incident, known.iter().map(|incident| (incident.id, incident.state.is_over())))?;
    let Some(report) = make(store, id, &times).await.context("the ledger cannot be read")? else {
        bail!("the ledger tells of no INC-{id}");
    };
    Ok(Made { text: set(&report, args.format, &times), sound: report.verification.sound })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_many_ways() {
        for text in ["INC-7", "inc7", "7", "#7", "inc#7", " INC-7 "] {
            assert_eq!(text.parse(), Ok(Number(IncidentId(7))), "{text}");
        }
        for text in ["", "INC-", "0", "-7x", "seven", "INC--7"] {
            assert!(text.parse::<Number>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_newest_that_is_not_over_is_meant() {
        let known = [(IncidentId(3), true), (IncidentId(2), false), (IncidentId(1), false)];
        assert_eq!(chosen(None, known).ok(), Some(IncidentId(2)));
        assert_eq!(chosen(None, [(IncidentId(3), true)]).ok(), Some(IncidentId(3)));
        assert_eq!(chosen(Some(Number(IncidentId(9))), known).ok(), Some(IncidentId(9)));
        assert!(chosen(None, []).is_err());
    }
}
