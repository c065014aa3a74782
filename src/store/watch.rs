//! What is watched: states of checks, brakes of triggers, and whether automation is paused.
//!
//! Locks: the row of `automation` comes first, before every other; then a check's state, its incident, brakes, and then
//! as everywhere. What a trigger asks people for locks `automation` for share; a start by itself, `pause` and `resume` lock it
//! for themselves: one comes before the other (I1, I12).

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::rows::Inconsistent;
use super::{Result, Run, Store, StoreError, Tx, WorkerId};
use crate::model::event::{Brake, Health};
use crate::model::id::{CheckName, IncidentId, PersonId, RunId, ServiceName, SystemName, TriggerName};

/// What is known of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRow {
    /// Its system.
    pub system: SystemName,
    /// Its service.
    pub service: ServiceName,
    /// Its name.
    pub check: CheckName,
    /// Its version; 0 for one that is about to be inserted.
    pub version: i64,
    /// What is certain; `None` until the first certain result.
    pub hard: Option<Health>,
    /// When the first of the results that made it certain was asked for.
    pub hard_since: Option<DateTime<Utc>>,
    /// What the newest result says.
    pub soft: Health,
    /// When the first of the results in a row that say so was asked for.
    pub soft_since: DateTime<Utc>,
    /// How many in a row say so.
    pub soft_count: u32,
    /// When the newest result was asked for.
    pub asked_at: DateTime<Utc>,
    /// Its first line, redacted.
    pub detail: String,
    /// When the newest result that was ok was asked for.
    pub ok_at: Option<DateTime<Utc>>,
    /// When it has turned for certain, newest last.
    pub turns: Vec<DateTime<Utc>>,
    /// Since when it flaps.
    pub flaps_since: Option<DateTime<Utc>>,
}

/// What was found of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckFound {
    /// It was never asked.
    Nothing,
    /// What is known of it.
    Row(CheckRow),
    /// A row that contradicts the model.
    Unreadable {
        /// Its version, for whoever writes it anew.
        version: i64,
        /// What is wrong with it.
        why: String,
    },
}

/// What is known of every check.
#[derive(Debug, Clone, Default)]
pub struct ChecksKnown {
    /// By system, service and name.
    pub rows: Vec<CheckRow>,
    /// One line for each row that contradicts the model.
    pub unreadable: Vec<String>,
}

/// A trigger's brakes for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrakeRow {
    /// The trigger.
    pub trigger: TriggerName,
    /// The service.
    pub service: ServiceName,
    /// Its version.
    pub version: i64,
    /// What holds it until a person says `resume`.
    pub held_by: Option<Brake>,
    /// Since when.
    pub held_since: Option<DateTime<Utc>>,
    /// Why, for people.
    pub held_why: Option<String>,
    /// From when on a failure that was put off is looked at again.
    pub again_at: Option<DateTime<Utc>>,
    /// The last `resume`.
    pub counted_from: Option<DateTime<Utc>>,
}

/// One time that a trigger fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiringRow {
    /// When.
    pub at: DateTime<Utc>,
    /// The run, with its state's name and when that last changed; `None` in mode `shadow`.
    pub run: Option<(RunId, String, DateTime<Utc>)>,
}

/// Whether automation may start anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automation {
    /// The row's version.
    pub version: i64,
    /// Who has paused it, if somebody has.
    pub paused: Option<Paused>,
}

/// Who has paused all automation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Who.
    pub by: PersonId,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, if they said.
    pub why: Option<String>,
}

/// Whether automation is paused; it stays so until the transaction ends.
pub(super) async fn share_automation(connection: &mut PgConnection) -> Result<Automation> {
    let row = sqlx::query_as!(
        AutomationColumns,
        "select version, paused, paused_by, paused_at, paused_why from automation for share"
    )
    .fetch_one(connection)
    .await?;
    Ok(row.try_into()?)
}

fn health_name(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warning => "warning",
        Health::Critical => "critical",
        Health::Unknown => "unknown",
    }
}

fn health(name: &str) -> Option<Health> {
    [Health::Ok, Health::Warning, Health::Critical, Health::Unknown]
        .into_iter()
        .find(|health| health_name(*health) == name)
}

struct CheckColumns {
    system: String,
    service: String,
    check_name: String,
    version: i64,
    hard: Option<String>,
    hard_since: Option<DateTime<Utc>>,
    soft: String,
    soft_since: DateTime<Utc>,
    soft_count: i32,
    asked_at: DateTime<Utc>,
    detail: String,
    ok_at: Option<DateTime<Utc>>,
    turns: Vec<DateTime<Utc>>,
    flaps_since: Option<DateTime<Utc>>,
}

impl TryFrom<CheckColumns> for CheckRow {
    type Error = Inconsistent;
    fn try_from(row: CheckColumns) -> Result<Self, Inconsistent> {
        let wrong = |column| Inconsistent::at(format!("the state of check {}/{}", row.service, row.check_name), column);
        let hard = row.hard.as_deref().map(|name| health(name).ok_or_else(|| wrong("hard"))).transpose()?;
        let soft = health(&row.soft).ok_or_else(|| wrong("soft"))?;
        let soft_count = u32::try_from(row.soft_count).map_err(|_| wrong("soft_count"))?;
        Ok(Self {
            system: SystemName::new(row.system),
            service: ServiceName::new(row.service),
            check: CheckName::new(row.check_name),
            version: row.version,
            hard,
            hard_since: row.hard_since,
            soft,
            soft_since: row.soft_since,
            soft_count,
            asked_at: row.asked_at,
            detail: row.detail,
            ok_at: row.ok_at,
            turns: row.turns,
            flaps_since: row.flaps_since,
        })
    }
}

struct BrakeColumns {
    trigger: String,
    service: String,
    version: i64,
    held_by: Option<String>,
    held_since: Option<DateTime<Utc>>,
    held_why: Option<String>,
    again_at: Option<DateTime<Utc>>,
    counted_from: Option<DateTime<Utc>>,
}

impl TryFrom<BrakeColumns> for BrakeRow {
    type Error = Inconsistent;
    fn try_from(row: BrakeColumns) -> Result<Self, Inconsistent> {
        let held_by = match row.held_by.as_deref() {
            None => None,
            Some(name) => Some(
                [Brake::AtMost, Brake::Flapping, Brake::NoEffect]
                    .into_iter()
                    .find(|brake| brake.name() == name)
                    .ok_or_else(|| Inconsistent::at(format!("the brakes of {}", row.trigger), "held_by"))?,
            ),
        };
        Ok(Self {
            trigger: TriggerName::new(row.trigger),
            service: ServiceName::new(row.service),
            version: row.version,
            held_by,
            held_since: row.held_since,
            held_why: row.held_why,
            again_at: row.again_at,
            counted_from: row.counted_from,
        })
    }
}

struct AutomationColumns {
    version: i64,
    paused: bool,
    paused_by: Option<String>,
    paused_at: Option<DateTime<Utc>>,
    paused_why: Option<String>,
}

impl TryFrom<AutomationColumns> for Automation {
    type Error = Inconsistent;
    fn try_from(row: AutomationColumns) -> Result<Self, Inconsistent> {
        let paused = match (row.paused, row.paused_by, row.paused_at) {
            (false, _, _) => None,
            (true, Some(by), Some(at)) => Some(Paused { by: PersonId::new(by), at, why: row.paused_why }),
            (true, _, _) => return Err(Inconsistent::at("automation", "paused_by")),
        };
        Ok(Self { version: row.version, paused })
    }
}

impl Store {
    /// What is known of every check. One row that contradicts the model hides no other.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_check_states(&self) -> Result<ChecksKnown> {
        let rows = sqlx::query_as!(
            CheckColumns,
            r#"
            select system, service, check_name, version, hard, hard_since, soft, soft_since, soft_count, asked_at, detail,
                ok_at, turns, flaps_since
            from check_state order by system, service, check_name
            "#
        )
        .fetch_all(&self.loops)
        .await?;
        let mut known = ChecksKnown::default();
        for row in rows {
            match CheckRow::try_from(row) {
                Ok(row) => known.rows.push(row),
                Err(wrong) => known.unreadable.push(wrong.to_string()),
            }
        }
        Ok(known)
    }

    /// The brakes of every trigger that has fired or was held, by trigger and service.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_brakes(&self) -> Result<Vec<BrakeRow>> {
        let rows = sqlx::query_as!(
            BrakeColumns,
            r#"
            select trigger, service, version, held_by, held_since, held_why, again_at, counted_from
            from brake_state order by trigger, service
            "#
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(rows.into_iter().map(BrakeRow::try_from).collect::<Result<_, _>>()?)
    }

    /// Whether automation is paused.
    ///
    /// # Errors
    /// As [`Store::list_brakes`].
    pub async fn find_automation(&self) -> Result<Automation> {
        let row = sqlx::query_as!(
            AutomationColumns,
            "select version, paused, paused_by, paused_at, paused_why from automation"
        )
        .fetch_one(&self.loops)
        .await?;
        Ok(row.try_into()?)
    }

    /// The state of the last run that a trigger asked for on a service, if it asked for one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_last_fired(
        &self,
        trigger: &TriggerName,
        service: &ServiceName,
    ) -> Result<Option<(RunId, String)>> {
        let row = sqlx::query!(
            r#"
            select r.id, r.state from firing f join run r on r.id = f.run
            where f.trigger = $1 and f.service = $2 order by f.id desc limit 1
            "#,
            trigger.as_str(),
            service.as_str(),
        )
        .fetch_optional(&self.loops)
        .await?;
        Ok(row.map(|row| (RunId(row.id), row.state)))
    }
}

impl Tx {
    /// Whether this worker still holds a lease, with this fence; then nobody takes it before this transaction ends.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn holds_lease(&mut self, name: &str, me: WorkerId, fence: i64) -> Result<bool> {
        let held = sqlx::query_scalar!(
            "select fence from lease where name = $1 and holder = $2 and fence = $3 and until > $4 for share",
            name,
            me.0,
            fence,
            self.now(),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(held.is_some())
    }

    /// Locks what is known of a check, and reads it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn lock_check_state(
        &mut self,
        system: &SystemName,
        service: &ServiceName,
        check: &CheckName,
    ) -> Result<CheckFound> {
        let row = sqlx::query_as!(
            CheckColumns,
            r#"
            select system, service, check_name, version, hard, hard_since, soft, soft_since, soft_count, asked_at, detail,
                ok_at, turns, flaps_since
            from check_state where system = $1 and service = $2 and check_name = $3 for update
            "#,
            system.as_str(),
            service.as_str(),
            check.as_str(),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(row) = row else { return Ok(CheckFound::Nothing) };
        let version = row.version;
        Ok(match CheckRow::try_from(row) {
            Ok(row) => CheckFound::Row(row),
            Err(wrong) => CheckFound::Unreadable { version, why: wrong.to_string() },
        })
    }

    /// What is certain of the checks of a service: nothing of one that flaps, or whose row contradicts the model.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_certain(
        &mut self,
        system: &SystemName,
        service: &ServiceName,
    ) -> Result<Vec<(CheckName, Option<Health>)>> {
        let rows = sqlx::query!(
            "select check_name, hard, flaps_since from check_state where system = $1 and service = $2",
            system.as_str(),
            service.as_str(),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let believed = row.hard.filter(|_| row.flaps_since.is_none());
                (CheckName::new(row.check_name), believed.as_deref().and_then(health))
            })
            .collect())
    }

    /// Writes what is known of a check, if its version is still the one that was read; 0 inserts.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn put_check_state(&mut self, row: &CheckRow) -> Result<()> {
        let done = sqlx::query!(
            r#"
            insert into check_state as c (system, service, check_name, version, hard, hard_since, soft, soft_since,
                soft_count, asked_at, detail, ok_at, turns, flaps_since)
            values ($1, $2, $3, 1, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            on conflict (system, service, check_name) do update set version = c.version + 1, hard = $5, hard_since = $6,
                soft = $7, soft_since = $8, soft_count = $9, asked_at = $10, detail = $11, ok_at = $12, turns = $13,
                flaps_since = $14
                where c.version = $4
            "#,
            row.system.as_str(),
            row.service.as_str(),
            row.check.as_str(),
            row.version,
            row.hard.map(health_name),
            row.hard_since,
            health_name(row.soft),
            row.soft_since,
            i32::try_from(row.soft_count).unwrap_or(i32::MAX),
            row.asked_at,
            row.detail,
            row.ok_at,
            &row.turns,
            row.flaps_since,
        )
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        let row = format!("the state of check {}/{}", row.service, row.check);
        Err(StoreError::Moved { row, expected: "as it was read".to_owned() })
    }

    /// Forgets a check that is no longer watched. `false`: it was not known any more.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delete_check_state(&mut self, row: &CheckRow) -> Result<bool> {
        let done = sqlx::query!(
            "delete from check_state where system = $1 and service = $2 and check_name = $3 and version = $4",
            row.system.as_str(),
            row.service.as_str(),
            row.check.as_str(),
            row.version,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The incident of one of these services that is not resolved: the newest, if several have one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn find_unresolved_incident_of(
        &mut self,
        system: &SystemName,
        services: &[ServiceName],
    ) -> Result<Option<IncidentId>> {
        if services.is_empty() {
            return Ok(None);
        }
        let services: Vec<String> = services.iter().map(ToString::to_string).collect();
        let id = sqlx::query_scalar!(
            r#"
            select id from incident where system = $1 and service = any($2) and state <> 'resolved'
            order by id desc limit 1
            "#,
            system.as_str(),
            &services
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(id.map(IncidentId))
    }

    /// Whether automation is paused; it stays so until this transaction ends. Comes before every other lock.
    ///
    /// # Errors
    /// As [`Store::list_brakes`].
    pub async fn share_automation(&mut self) -> Result<Automation> {
        share_automation(&mut self.inner).await
    }

    /// Whether automation is paused; nothing starts by itself until this transaction ends. Comes before every other lock.
    ///
    /// # Errors
    /// As [`Store::list_brakes`].
    pub async fn lock_automation(&mut self) -> Result<Automation> {
        let row = sqlx::query_as!(
            AutomationColumns,
            "select version, paused, paused_by, paused_at, paused_why from automation for update"
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(row.try_into()?)
    }

    /// Pauses automation, or lets it go on.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn put_automation(&mut self, read: &Automation, paused: Option<&Paused>) -> Result<()> {
        let done = sqlx::query!(
            r#"
            update automation set paused = $2, paused_by = $3, paused_at = $4, paused_why = $5, version = version + 1
            where version = $1
            "#,
            read.version,
            paused.is_some(),
            paused.map(|paused| paused.by.as_str()),
            paused.map(|paused| paused.at),
            paused.and_then(|paused| paused.why.as_deref()),
        )
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(StoreError::Moved { row: "automation".to_owned(), expected: "as it was read".to_owned() })
    }

    /// Runs that were started by themselves and have not begun: granted or in need of no grant, decided by nobody, with
    /// no attempt.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_automatic_not_begun(&mut self) -> Result<Vec<RunId>> {
        let ids = sqlx::query_scalar!(
            r#"
            select r.id from run r
            where r.trigger is not null and r.state in ('planned', 'approved')
                and not exists (select from attempt a where a.run = r.id)
                and not exists (select from request q join decision d on d.request = q.id where q.run = r.id)
            order by r.id
            "#
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(ids.into_iter().map(RunId).collect())
    }

    /// Runs that started by themselves, that nobody has decided about, and that are under way.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_automatic_under_way(&mut self) -> Result<Vec<RunId>> {
        let ids = sqlx::query_scalar!(
            r#"
            select r.id from run r
            where r.trigger is not null and r.state in ('approved', 'running')
                and exists (select from attempt a where a.run = r.id)
                and not exists (select from request q join decision d on d.request = q.id where q.run = r.id)
            order by r.id
            "#
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(ids.into_iter().map(RunId).collect())
    }

    /// Locks a trigger's brakes for a service, and reads them; makes them if it has none yet.
    ///
    /// # Errors
    /// As [`Store::list_brakes`].
    pub async fn lock_brake(&mut self, trigger: &TriggerName, service: &ServiceName) -> Result<BrakeRow> {
        sqlx::query!(
            "insert into brake_state (trigger, service) values ($1, $2) on conflict do nothing",
            trigger.as_str(),
            service.as_str()
        )
        .execute(&mut *self.inner)
        .await?;
        let row = sqlx::query_as!(
            BrakeColumns,
            r#"
            select trigger, service, version, held_by, held_since, held_why, again_at, counted_from
            from brake_state where trigger = $1 and service = $2 for update
            "#,
            trigger.as_str(),
            service.as_str(),
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(row.try_into()?)
    }

    /// Locks the brakes that are held or that put something off, in the order of trigger and service, and reads them.
    ///
    /// # Errors
    /// As [`Store::list_brakes`].
    pub async fn lock_held_brakes(&mut self) -> Result<Vec<BrakeRow>> {
        let rows = sqlx::query_as!(
            BrakeColumns,
            r#"
            select trigger, service, version, held_by, held_since, held_why, again_at, counted_from
            from brake_state where held_by is not null order by trigger, service for update
            "#
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(BrakeRow::try_from).collect::<Result<_, _>>()?)
    }

    /// Writes a trigger's brakes, if their version is still the one that was read.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when they were no longer as read.
    pub async fn put_brake(&mut self, row: &BrakeRow) -> Result<()> {
        let done = sqlx::query!(
            r#"
            update brake_state set held_by = $4, held_since = $5, held_why = $6, again_at = $7, counted_from = $8,
                version = version + 1
            where trigger = $1 and service = $2 and version = $3
            "#,
            row.trigger.as_str(),
            row.service.as_str(),
            row.version,
            row.held_by.map(Brake::name),
            row.held_since,
            row.held_why,
            row.again_at,
            row.counted_from,
        )
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        let row = format!("the brakes of {} for {}", row.trigger, row.service);
        Err(StoreError::Moved { row, expected: "as it was read".to_owned() })
    }

    /// Writes down that a trigger fired.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_firing(
        &mut self,
        trigger: &TriggerName,
        service: &ServiceName,
        run: Option<RunId>,
    ) -> Result<()> {
        sqlx::query!(
            "insert into firing (trigger, service, at, run) values ($1, $2, $3, $4)",
            trigger.as_str(),
            service.as_str(),
            self.now(),
            run.map(|run| run.0),
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// What a trigger did for a service, oldest first: the last of it, and everything since a moment.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_firings(
        &mut self,
        trigger: &TriggerName,
        service: &ServiceName,
        since: DateTime<Utc>,
    ) -> Result<Vec<FiringRow>> {
        let rows = sqlx::query!(
            r#"
            select f.at, r.id as "run?", r.state as "state?", r.updated_at as "updated_at?"
            from firing f left join run r on r.id = f.run
            where f.trigger = $1 and f.service = $2
                and (f.at > $3 or f.id = (select max(id) from firing l where l.trigger = $1 and l.service = $2))
            order by f.id
            "#,
            trigger.as_str(),
            service.as_str(),
            since,
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| FiringRow {
                at: row.at,
                run: match (row.run, row.state, row.updated_at) {
                    (Some(run), Some(state), Some(at)) => Some((RunId(run), state, at)),
                    _ => None,
                },
            })
            .collect())
    }

    /// Runs of a system that are not over, and the last few that are, with when each was last moved; oldest first.
    ///
    /// # Errors
    /// As [`Store::list_brakes`].
    pub async fn list_runs_lately(&mut self, system: &SystemName) -> Result<Vec<(Run, DateTime<Utc>)>> {
        let rows = sqlx::query!(
            r#"
            select id as "id!", updated_at as "updated_at!" from run where system = $1
                and state in ('planned', 'awaiting_approval', 'approved', 'running', 'stuck', 'stopping')
            union
            (select id, updated_at from run where system = $1 order by id desc limit 20)
            order by 1
            "#,
            system.as_str(),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let runs = super::runs::runs_by_id(&mut *self.inner, &ids).await?;
        Ok(runs.into_iter().zip(rows.into_iter().map(|row| row.updated_at)).collect())
    }
}
