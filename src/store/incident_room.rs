//! Channels that are made for incidents: what is wanted, how far it is, and who stands where.
//!
//! A channel is wanted in the transaction that opens its incident. What was done on the platform is noted under the row's
//! version together with its event (I4); whoever was faster wins, and the other finds the same channel.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::rows::Inconsistent;
use super::{Result, Store, StoreError, Tx};
use crate::model::chat::RoomAddress;
use crate::model::id::{IncidentId, MessageId, RunId, SystemName};
use crate::model::incident_room::{Around, AtEnd, IncidentRoom, MadeRoom, Privacy, RoomDeed, RoomWish};

/// The role of the message that tells how an incident stands, for its subject.
pub const SUMMARY: &str = "summary";

/// The name under which an incident's own messages are kept.
pub fn incident_subject(incident: IncidentId) -> String {
    format!("incident:{incident}")
}

struct Row {
    incident: i64,
    number: i32,
    version: i64,
    home: String,
    name: String,
    private: bool,
    archives: bool,
    wanted_at: DateTime<Utc>,
    begun_at: Option<DateTime<Utc>>,
    room: Option<String>,
    called: Option<String>,
    done: Vec<String>,
    refused: Vec<String>,
    tries: i32,
}

impl TryFrom<Row> for IncidentRoom {
    type Error = Inconsistent;
    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        let wrong = |column| Inconsistent::at(format!("the channel of incident {}", row.incident), column);
        let deeds = |names: &[String], column| {
            let deed = |name: &String| RoomDeed::ALL.into_iter().find(|deed| deed.name() == name);
            names.iter().map(|name| deed(name).ok_or_else(|| wrong(column))).collect::<Result<BTreeSet<_>, _>>()
        };
        let made = match (&row.room, &row.called) {
            (Some(room), Some(name)) => {
                Some(MadeRoom { address: room.parse().map_err(|_| wrong("room"))?, name: name.clone() })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(wrong("called")),
        };
        Ok(Self {
            incident: IncidentId(row.incident),
            number: row.number,
            version: row.version,
            home: row.home.parse().map_err(|_| wrong("home"))?,
            name: row.name.clone(),
            privacy: if row.private { Privacy::Private } else { Privacy::Public },
            at_end: if row.archives { AtEnd::Archive } else { AtEnd::Keep },
            wanted_at: row.wanted_at,
            begun: row.begun_at.is_some(),
            made,
            done: deeds(&row.done, "done")?,
            refused: deeds(&row.refused, "refused")?,
            tries: row.tries,
        })
    }
}

/// Where an incident is talked about besides its system's room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentPlace {
    /// The incident.
    pub incident: IncidentId,
    /// Its system.
    pub system: SystemName,
}

/// What was done with an incident's channel, to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomNote {
    /// It was made, or found.
    Made(MadeRoom),
    /// Something was done.
    Done(RoomDeed),
    /// The platform will not do something.
    Refused(RoomDeed),
}

impl Store {
    /// Channels of incidents that are to be looked at now, those that wait longest first.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_due_incident_rooms(&self, limit: i64) -> Result<Vec<IncidentRoom>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select incident, number, version, home, name, private, archives, wanted_at, begun_at, room, called, done,
                refused, tries
            from incident_channel where next_try_at <= $1 order by next_try_at, incident limit $2
            "#,
            self.clock().now(),
            limit
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(rows.into_iter().map(IncidentRoom::try_from).collect::<Result<_, _>>()?)
    }

    /// What decides about the next deed for a channel. Settled is one about which everything that was recorded has been
    /// told, in which no message waits to be sent, and no run waits or goes on.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn around_incident_room(&self, room: &IncidentRoom) -> Result<Around> {
        let address = room.made.as_ref().map(|made| made.address.to_string());
        let row = sqlx::query!(
            r#"
            select
                exists (select from incident where id = $1 and state = 'resolved') as "over!",
                exists (select from posted where subject = $3 and role = $4 and room = $2) as "summary_stands!",
                not exists (select from outbox where room = $2 and sent_at is null and failed is null)
                and not exists (select from run where room = $2
                    and state in ('planned', 'awaiting_approval', 'approved', 'running', 'stuck', 'stopping'))
                and not exists (select from unsequenced u join event e on e.id = u.event left join run r on r.id = e.run
                    where e.incident = $1 or r.incident = $1 or r.room = $2)
                and not exists (select from chain c join event e on e.id = c.event left join run r on r.id = e.run
                    where c.position > coalesce((select position from sink where name = 'room'), 0)
                        and (e.incident = $1 or r.incident = $1 or r.room = $2)) as "settled!",
                exists (select from outbox where room = $2 and failed is not null) as "lost!"
            "#,
            room.incident.0,
            address,
            incident_subject(room.incident),
            SUMMARY,
        )
        .fetch_one(&self.loops)
        .await?;
        Ok(Around { over: row.over, summary_stands: row.summary_stands, settled: row.settled, lost: row.lost })
    }

    /// Notes that the platform is about to be asked for a channel: from now on there may be one.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when somebody else was faster; otherwise when the database refuses.
    pub async fn set_incident_room_begun(&self, room: &IncidentRoom) -> Result<IncidentRoom> {
        let version = sqlx::query_scalar!(
            r#"
            update incident_channel set begun_at = coalesce(begun_at, $4), version = version + 1
            where incident = $1 and number = $2 and version = $3 returning version
            "#,
            room.incident.0,
            room.number,
            room.version,
            self.clock().now(),
        )
        .fetch_optional(&self.loops)
        .await?;
        let version = version.ok_or_else(|| moved(room))?;
        Ok(IncidentRoom { version, begun: true, ..room.clone() })
    }

    /// Puts the next look at a channel off, counting it as a try; `None`: until its incident changes. Does nothing to a row
    /// that has moved on.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn put_incident_room_off(&self, room: &IncidentRoom, until: Option<DateTime<Utc>>) -> Result<()> {
        sqlx::query!(
            r#"
            update incident_channel set next_try_at = $4, tries = tries + 1, version = version + 1
            where incident = $1 and number = $2 and version = $3
            "#,
            room.incident.0,
            room.number,
            room.version,
            until,
        )
        .execute(&self.loops)
        .await?;
        Ok(())
    }

    /// The channel in which an incident can be talked about now: made, and not archived.
    ///
    /// # Errors
    /// When the database cannot be asked, or the row contradicts the model.
    pub async fn find_incident_room(&self, incident: IncidentId) -> Result<Option<MadeRoom>> {
        let newest = self.list_rooms_of_incident(incident).await?.pop();
        Ok(newest.and_then(|room| room.place().cloned()))
    }

    /// Every channel that an incident has or had, oldest first.
    ///
    /// # Errors
    /// As [`Store::find_incident_room`].
    pub async fn list_rooms_of_incident(&self, incident: IncidentId) -> Result<Vec<IncidentRoom>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select incident, number, version, home, name, private, archives, wanted_at, begun_at, room, called, done,
                refused, tries
            from incident_channel where incident = $1 order by number
            "#,
            incident.0
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(IncidentRoom::try_from).collect::<Result<_, _>>()?)
    }

    /// The incident for which a room was made; `None`: it was made for none.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_incident_at(&self, room: &RoomAddress) -> Result<Option<IncidentPlace>> {
        let row = sqlx::query!(
            "select i.id, i.system from incident_channel c join incident i on i.id = c.incident where c.room = $1",
            room.to_string()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| IncidentPlace { incident: IncidentId(row.id), system: SystemName::new(row.system) }))
    }

    /// The addresses of all channels that were made for incidents and can be talked in, oldest first: rooms in which the
    /// bot hears every line, as in those that the catalog declares.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_incident_rooms(&self) -> Result<Vec<RoomAddress>> {
        let rooms = sqlx::query_scalar!(
            r#"
            select room as "room!" from incident_channel where room is not null and not ('archive' = any(done))
            order by incident, number
            "#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rooms.iter().filter_map(|room| room.parse().ok()).collect())
    }

    /// The message that is something for a subject in a room, once it was sent.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_posted(&self, subject: &str, role: &str, room: &RoomAddress) -> Result<Option<MessageId>> {
        let found = sqlx::query_scalar!(
            "select platform_message from posted where subject = $1 and role = $2 and room = $3",
            subject,
            role,
            room.to_string()
        )
        .fetch_optional(&self.loops)
        .await?;
        Ok(found.map(MessageId::new))
    }

    /// The newest run of an incident.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_last_run_of_incident(&self, incident: IncidentId) -> Result<Option<RunId>> {
        let id = sqlx::query_scalar!("select max(id) from run where incident = $1", incident.0)
            .fetch_one(&self.loops)
            .await?;
        Ok(id.map(RunId))
    }
}

fn moved(room: &IncidentRoom) -> StoreError {
    StoreError::Moved {
        row: format!("the channel of incident {}", room.incident),
        expected: format!("at version {}", room.version),
    }
}

impl Tx {
    /// Notes that an incident is to have a channel; it is looked at at once.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_incident_room(
        &mut self,
        incident: IncidentId,
        system: &SystemName,
        wish: &RoomWish,
    ) -> Result<()> {
        let now = self.now();
        sqlx::query!(
            r#"
            insert into incident_channel (incident, number, home, name, private, archives, wanted_at, next_try_at)
            values ($1, 1, $2, $3, $4, $5, $6, $6)
            "#,
            incident.0,
            wish.home.to_string(),
            wish.name_for(incident, system),
            wish.privacy == Privacy::Private,
            wish.at_end == AtEnd::Archive,
            now,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Notes that an incident is to have a further channel, as its last one is archived. Two at once make one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_another_incident_room(&mut self, last: &IncidentRoom) -> Result<()> {
        let now = self.now();
        sqlx::query!(
            r#"
            with it as (
                insert into incident_channel (incident, number, home, name, private, archives, wanted_at, next_try_at)
                select incident, number + 1, home, name, private, archives, $3, $3 from incident_channel
                where incident = $1 and number = $2
                on conflict do nothing
            )
            update incident_channel set next_try_at = null, version = version + 1 where incident = $1 and number = $2
            "#,
            last.incident.0,
            last.number,
            now,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Notes what was done with an incident's channel, under the version that was read. It is looked at again at once.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when somebody else was faster; otherwise when the database refuses.
    pub async fn note_incident_room(&mut self, room: &IncidentRoom, note: &RoomNote) -> Result<()> {
        let now = self.now();
        let (done, refused, made) = match note {
            RoomNote::Made(made) => (Some(RoomDeed::Make), None, Some(made)),
            RoomNote::Done(deed) => (Some(*deed), None, None),
            RoomNote::Refused(deed) => (None, Some(*deed), None),
        };
        let changed = sqlx::query!(
            r#"
            update incident_channel set version = version + 1, tries = 0, next_try_at = $4,
                done = array_remove(done || $5::text, null), refused = array_remove(refused || $6::text, null),
                room = coalesce($7, room), called = coalesce($8, called)
            where incident = $1 and number = $2 and version = $3
            "#,
            room.incident.0,
            room.number,
            room.version,
            now,
            done.map(RoomDeed::name),
            refused.map(RoomDeed::name),
            made.map(|made| made.address.to_string()),
            made.map(|made| made.name.as_str()),
        )
        .execute(&mut *self.inner)
        .await?;
        if changed.rows_affected() == 1 { Ok(()) } else { Err(moved(room)) }
    }

    /// Has the newest channel of an incident looked at: the incident has changed.
    pub(super) async fn look_at_incident_room(&mut self, incident: IncidentId) -> Result<()> {
        let now = self.now();
        sqlx::query!(
            r#"
            update incident_channel set next_try_at = $2, tries = 0, version = version + 1
            where incident = $1 and number = (select max(number) from incident_channel where incident = $1)
            "#,
            incident.0,
            now
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
