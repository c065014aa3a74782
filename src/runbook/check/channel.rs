//! The channel that each incident of a system gets.

use crate::model::catalog::{IncidentChannel, Subject};
use crate::model::chat::Workspace;
use crate::model::incident_room::{AtEnd, Privacy, RoomWish};

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Place};
use super::{Checker, Input};

/// What a channel is called if its author does not say.
const NAME: &str = "inc-{incident}-{system}";
/// The longest name that a platform takes, before anything is filled in.
const LONGEST: usize = 80;
/// What may stand in braces.
const FILLED: [&str; 2] = ["{incident}", "{system}"];

impl Checker {
    /// The channel; `None` when it is not said where: that has been told.
    pub(super) fn incident_channel(
        &mut self,
        input: &Input,
        place: Place,
        raw: &raw::IncidentChannel,
    ) -> Option<IncidentChannel> {
        let hint = "say in which workspace it is made: `in: \"slack:T0ACME\"`";
        let home = self.required(input, place, "in", &raw.r#in, hint).and_then(|written| self.home(input, written));
        let name = match &raw.name {
            None => NAME.to_owned(),
            Some(written) => self.channel_name(input, written),
        };
        let invite = self.subjects(input, "invite", &raw.invite);
        let observe = self.subjects(input, "observe", &raw.observe);
        if let Some(list) = &raw.observe {
            for (item, subject) in list.value.iter().zip(&observe) {
                self.only_once(input, item, subject, &invite);
            }
        }
        let privacy = match raw.private {
            Some(At { value: true, .. }) => Privacy::Private,
            Some(At { value: false, .. }) | None => Privacy::Public,
        };
        let at_end = match raw.archive_on_resolve {
            Some(At { value: false, .. }) => AtEnd::Keep,
            Some(At { value: true, .. }) | None => AtEnd::Archive,
        };
        Some(IncidentChannel { wish: RoomWish { home: home?, name, privacy, at_end }, invite, observe })
    }

    fn home(&mut self, input: &Input, written: &At<String>) -> Option<Workspace> {
        let said = words::quoted(&written.value);
        let problem = match written.value.parse::<Workspace>() {
            Ok(home) if home.platform == "slack" => return Some(home),
            Ok(home) if home.platform == "local" => {
                Problem::new(written.place, "the built-in room makes no channels, so none can be made for an incident")
                    .hint("leave `incident_channel` out: incidents are then talked about in the system's room")
            }
            Ok(_) => Problem::new(written.place, format!("channels for incidents are made in Slack, not in {said}"))
                .label("expected `slack:WORKSPACE`"),
            Err(_) => {
                let problem = Problem::new(written.place, format!("{said} is not a workspace"));
                let problem = problem.label("expected `slack:WORKSPACE`");
                match written.value.split(':').collect::<Vec<_>>()[..] {
                    [platform, workspace, _] => {
                        problem.hint(format!("it is made there and has no address yet: write `{platform}:{workspace}`"))
                    }
                    _ => problem,
                }
            }
        };
        self.problem(input, problem);
        None
    }

    fn channel_name(&mut self, input: &Input, written: &At<String>) -> String {
        let name = self.text(input, written, LONGEST);
        let mut rest = FILLED.iter().fold(name.clone(), |rest, filled| rest.replace(filled, ""));
        rest.retain(|letter| matches!(letter, '{' | '}'));
        if !rest.is_empty() {
            let problem = Problem::new(written.place, format!("{} cannot be filled in", words::quoted(&name)));
            let problem = problem.label("only `{incident}` and `{system}` may stand in braces");
            self.problem(input, problem);
        } else if !name.contains("{incident}") {
            let message = format!("every incident would want the same channel, {}", words::quoted(&name));
            let hint = format!("name it after its incident: `name: \"{NAME}\"`");
            self.problem(input, Problem::new(written.place, message).hint(hint));
        }
        name
    }

    fn only_once(&mut self, input: &Input, item: &At<String>, subject: &Subject, invite: &[Subject]) {
        if invite.contains(subject) {
            let message = format!("{} is to be called and not to be called", words::quoted(&item.value));
            let hint = "`invite` calls people, `observe` does not: keep one of the two";
            self.problem(input, Problem::new(item.place, message).hint(hint));
        }
    }
}
