//! What is watched: the states of checks, the brakes of triggers, and whether automation is paused.

use super::{Result, Tx};
use crate::model::id::{IncidentId, ServiceName, SystemName};

impl Tx {
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
}
