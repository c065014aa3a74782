//! Policies: stages whose quorum can be reached, times that can be kept.

use crate::model::catalog::{Policy, Stage, Subject};
use crate::model::id::{PolicyName, TriggerName};

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::yaml::{At, Place};
use super::{Checker, DAY, HOUR, Input, Kind, MINUTE, SECOND};

impl Checker {
    pub(super) fn policy(&mut self, input: &Input, raw: &raw::Policy) {
        let Some(name) = &raw.policy else { return };
        self.declare(input, Kind::Policy, name);
        let title = self.title(input, name.place, &raw.title);
        let refuse = self.refuse(input, name, raw);
        let hint = "say who must agree: `stages: [{approvers: [group:managers], quorum: 1}]`";
        let written = match refuse {
            Some(_) => &[],
            None => self.filled(input, name.place, "stages", &raw.stages, hint),
        };
        let stages: Vec<Stage> = written.iter().map(|stage| self.stage(input, stage)).collect();
        if let Some(one_too_many) = written.get(self.limits.stages) {
            let message = format!("a policy with {} stages is not yet possible in this release", written.len());
            self.problem(input, Problem::new(one_too_many.place, message).label("expected one stage"));
        }
        let expires = self.duration(input, &raw.expires, 30 * MINUTE, SECOND..=7 * DAY);
        let valid_for = self.duration(input, &raw.valid_for, HOUR, SECOND..=7 * DAY);
        let automatic =
            raw.automatic.iter().flat_map(|list| &list.value).map(|it| TriggerName::new(&it.value)).collect();
        let name = PolicyName::new(&name.value);
        let text = input.text.to_string();
        let source = input.source.clone();
        self.catalog.policies.insert(
            name.clone(),
            Policy { name, title, when: None, refuse, stages, expires, valid_for, automatic, text, source },
        );
    }

    fn stage(&mut self, input: &Input, raw: &At<raw::Stage>) -> Stage {
        let whose = Place { start: raw.place.start, end: raw.place.start };
        let hint = "say who may agree: `approvers: [group:managers]`";
        self.required(input, whose, "approvers", &raw.value.approvers, hint);
        let approvers = self.approvers(input, "approvers", &raw.value.approvers);
        let hint = "say how many different people must agree: `quorum: 1`";
        let Some(quorum) = self.required(input, whose, "quorum", &raw.value.quorum, hint) else {
            return Stage { approvers, quorum: 1 };
        };
        let place = quorum.place;
        let quorum = quorum.value;
        // Whoever is accountable may be somebody else in each system: at most one more.
        let accountable = usize::from(approvers.contains(&Subject::Accountable));
        let people = self.catalog.people_in(&approvers).len() + accountable;
        let reachable = u32::try_from(people).unwrap_or(u32::MAX);
        // Someone who is not known at all has been told already; then the count means nothing.
        let all_known = !self.broken.contains(&Kind::Person)
            && !self.broken.contains(&Kind::Group)
            && !self.broken.contains(&Kind::Rota)
            && !self.catalog.is_kept_elsewhere(&approvers)
            && approvers.iter().all(|subject| match subject {
                Subject::Rota(name) => self.catalog.rotas.contains_key(name),
                Subject::Person(_) | Subject::Group(_) | Subject::Accountable => true,
            })
            && people > 0;
        if quorum == 0 {
            let problem = Problem::new(place, "a quorum of 0 would approve everything by itself");
            self.problem(
                input,
                problem.label("expected at least 1").hint("a runbook that only reads needs no policy at all"),
            );
        } else if all_known && quorum > reachable {
            let noun = if people == 1 { "person" } else { "people" };
            let message = format!("a quorum of {quorum} can never be reached: the approvers are {people} {noun}");
            self.problem(input, Problem::new(place, message).label(format!("expected at most {people}")));
        } else if quorum > self.limits.quorum {
            let message = format!("a quorum of {quorum} is not yet possible in this release");
            self.problem(input, Problem::new(place, message).label("expected 1"));
        }
        Stage { approvers, quorum }
    }
}
