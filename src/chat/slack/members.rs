//! Who is in a user group of the workspace.
//!
//! What lives here: asking Slack, and which of its words mean that there is nobody. What does not: what the answer is worth,
//! and for how long (`model::group`, `flow::membership`).

use std::collections::BTreeSet;

use super::PLATFORM;
use super::api::Slack;
use crate::chat::SendError;
use crate::model::chat::{Account, UserGroup};

/// The method by which it is asked.
pub const METHOD: &str = "usergroups.users.list";

/// Slack's words for a user group that is not there, or that somebody has switched off.
const GONE: [&str; 2] = ["no_such_subteam", "subteam_disabled"];

impl Slack {
    /// The accounts in a user group; `None`: there is no such group, or it is switched off.
    ///
    /// # Errors
    /// When Slack does not say: nobody knows who is in it.
    pub(super) async fn accounts_in(&self, group: &UserGroup) -> Result<Option<BTreeSet<Account>>, SendError> {
        let answer = match self.get(METHOD, &[("usergroup", Some(group.id.clone()))]).await {
            Ok(answer) => answer,
            Err(SendError::Refused(why)) if GONE.iter().any(|gone| why.starts_with(gone)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let users = answer["users"]
            .as_array()
            .and_then(|users| users.iter().map(|id| id.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>());
        // Half an answer is none.
        let users = users.ok_or_else(|| SendError::Unknown(format!("{METHOD} was answered in another shape")))?;
        let account = |id: String| Account { platform: PLATFORM.to_owned(), workspace: self.own().team.clone(), id };
        Ok(Some(users.into_iter().map(account).collect()))
    }
}
