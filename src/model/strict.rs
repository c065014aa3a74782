//! Whether one policy lets nothing pass that another would not, and if not, in which respect.
//!
//! What lives here: a comparison part by part, which knows no "on the whole": most pairs of policies are neither. What does
//! not: the order by which one of several policies is chosen, which is total and looks at less (`choice`). Two things rest on
//! this one: a policy that applies by its `when` does not load if it could win over the one that a runbook names while being
//! less strict in any respect, and a change of a policy that is not plainly stricter waits to be countersigned (`access`).

use super::catalog::{Policy, Stage, Subject};
use super::policy::{AfterDenial, BreakGlass, Delegating, Repeat};

/// In which respect one policy is less strict than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Respect {
    /// It asks, and the other refuses.
    Refuses,
    /// It has fewer stages.
    Stages,
    /// Others may agree.
    Approvers,
    /// Others may agree after a while.
    Escalation,
    /// Fewer people must agree.
    Quorum,
    /// More people must say no before it ends.
    Denials,
    /// An answer need not say why.
    Reason,
    /// Agreeing needs no passkey.
    StepUp,
    /// A request waits longer.
    Expires,
    /// A run may begin later.
    StartsWithin,
    /// The agreement lasts longer.
    ValidFor,
    /// It gives up a rule of separation.
    Relaxed,
    /// The author of the runbook's last change counts.
    Author,
    /// Those who are asked may let others answer.
    Delegating,
    /// Whoever denied it before need not be asked again.
    AfterDenial,
    /// One approval covers more runs, or for longer.
    Repeat,
    /// Others may break the glass, or with less.
    BreakGlass,
    /// A trigger starts more by itself.
    Automatic,
    /// People start more without anybody's answer.
    Unasked,
}

impl Respect {
    /// In words, and the key by which it is written.
    pub fn words(self) -> &'static str {
        match self {
            Self::Refuses => "it asks people, and the other refuses (`refuse`)",
            Self::Stages => "it has fewer stages (`stages`)",
            Self::Approvers => "others may agree (`approvers`)",
            Self::Escalation => "others may agree after a while (`escalate`)",
            Self::Quorum => "fewer people must agree (`quorum`)",
            Self::Denials => "more people must say no before it ends (`denials`)",
            Self::Reason => "an answer need not say why (`reason`)",
            Self::StepUp => "agreeing needs no passkey (`step_up`)",
            Self::Expires => "its requests wait longer (`expires`)",
            Self::StartsWithin => "a run may begin later (`starts_within`)",
            Self::ValidFor => "the agreement lasts longer (`valid_for`)",
            Self::Relaxed => "it gives up a rule of separation (`relax`)",
            Self::Author => "the author of the last change counts (`exclude`)",
            Self::Delegating => "those who are asked may let others answer (`may_delegate`)",
            Self::AfterDenial => "whoever denied it before is not needed (`after_denial`)",
            Self::Repeat => "one approval covers more (`repeat`)",
            Self::BreakGlass => "more people may break the glass, or with less (`break_glass`)",
            Self::Automatic => "triggers may start more by themselves (`automatic`)",
            Self::Unasked => "people may start more without asking (`unasked`)",
        }
    }
}

/// The first respect in which a policy is less strict than another; `None`: it lets nothing pass that the other would not.
/// `within` says whether everybody whom one list means is meant by the other. When each applies, and in whose
/// place, is not compared.
///
/// Each part is named, so that a further one does not compile until it is known what it loosens.
pub fn laxer(new: &Policy, old: &Policy, within: &dyn Fn(&[Subject], &[Subject]) -> bool) -> Option<Respect> {
    let Policy {
        name: _,
        title: _,
        when: _,
        replaces: _,
        refuse,
        stages,
        expires,
        starts_within,
        valid_for,
        relaxed,
        exclude_author,
        delegating,
        after_denial,
        repeat,
        break_glass,
        automatic,
        unasked,
        text: _,
        source: _,
    } = new;
    let by_people = unasked.iter().all(|(runbook, rule)| {
        old.unasked.iter().any(|(of, other)| {
            of == runbook && within(&rule.by, &other.by) && rule.runs <= other.runs && rule.per_ms >= other.per_ms
        })
    });
    let checked = [
        (Respect::Refuses, refuse.is_some() || old.refuse.is_none()),
        (Respect::Expires, *expires <= old.expires),
        (Respect::StartsWithin, *starts_within <= old.starts_within),
        (Respect::ValidFor, *valid_for <= old.valid_for),
        (Respect::Relaxed, relaxed.iter().all(|rule| old.relaxed.contains(rule))),
        (Respect::Author, *exclude_author || !old.exclude_author),
        (Respect::Delegating, *delegating == Delegating::Refused || old.delegating == Delegating::Allowed),
        (Respect::AfterDenial, *after_denial == AfterDenial::Denier || old.after_denial == AfterDenial::SamePeople),
        (Respect::Repeat, no_more(repeat.as_ref(), old.repeat.as_ref(), covers_no_more)),
        (
            Respect::BreakGlass,
            no_more(break_glass.as_ref(), old.break_glass.as_ref(), |new, old| breaks_no_more(new, old, within)),
        ),
        (Respect::Automatic, automatic.iter().all(|rule| old.automatic.iter().any(|other| rule.is_within(other)))),
        (Respect::Unasked, by_people),
    ];
    // What people look at first is named first.
    laxer_stages(stages, &old.stages, within)
        .or_else(|| checked.into_iter().find(|(_, as_strict)| !as_strict).map(|(respect, _)| respect))
}

/// Each stage of the one has one of the other that is as strict, in the same order: further stages only ask for more.
fn laxer_stages(new: &[Stage], old: &[Stage], within: &dyn Fn(&[Subject], &[Subject]) -> bool) -> Option<Respect> {
    let mut rest = new.iter();
    for (number, wanted) in old.iter().enumerate() {
        if !rest.any(|stage| laxer_stage(stage, wanted, within).is_none()) {
            let same_place = new.get(number).and_then(|stage| laxer_stage(stage, wanted, within));
            return Some(same_place.unwrap_or(Respect::Stages));
        }
    }
    None
}

fn laxer_stage(new: &Stage, old: &Stage, within: &dyn Fn(&[Subject], &[Subject]) -> bool) -> Option<Respect> {
    let Stage {
        approvers,
        quorum,
        denials,
        reason_required,
        step_up,
        expires_ms,
        // Nobody agrees by being called again.
        remind_after_ms: _,
        ring_after_ms: _,
        escalate,
    } = new;
    let ends_no_later = match (expires_ms, old.expires_ms) {
        (_, None) => true,
        (Some(new), Some(old)) => *new <= old,
        (None, Some(_)) => false,
    };
    let later = |after_ms: u64, to: &[Subject]| {
        let asked = old.escalate.iter().any(|other| other.after_ms <= after_ms && within(to, &other.to));
        asked || within(to, &old.approvers)
    };
    let checked = [
        (Respect::Approvers, !approvers.is_empty() && within(approvers, &old.approvers)),
        (Respect::Quorum, *quorum >= old.quorum),
        (Respect::StepUp, *step_up || !old.step_up),
        (Respect::Denials, *denials <= old.denials),
        (Respect::Reason, *reason_required || !old.reason_required),
        (Respect::Expires, ends_no_later),
        (Respect::Escalation, escalate.iter().all(|others| later(others.after_ms, &others.to))),
    ];
    checked.into_iter().find(|(_, as_strict)| !as_strict).map(|(respect, _)| respect)
}

/// Whether something that loosens is not there, or there was as much of it.
fn no_more<T>(new: Option<&T>, old: Option<&T>, within: impl Fn(&T, &T) -> bool) -> bool {
    match (new, old) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(new), Some(old)) => within(new, old),
    }
}

fn covers_no_more(new: &Repeat, old: &Repeat) -> bool {
    let Repeat { runs, within_ms } = new;
    *runs <= old.runs && *within_ms <= old.within_ms
}

fn breaks_no_more(new: &BreakGlass, old: &BreakGlass, within: &dyn Fn(&[Subject], &[Subject]) -> bool) -> bool {
    let BreakGlass { by, review_within_ms, reviewed_by, by_chat } = new;
    within(by, &old.by)
        && *review_within_ms <= old.review_within_ms
        && !reviewed_by.is_empty()
        && within(reviewed_by, &old.reviewed_by)
        && (!by_chat || old.by_chat)
}

/// Whether each subject of a list stands in the other: what is known without knowing who anybody is.
pub fn listed(new: &[Subject], old: &[Subject]) -> bool {
    new.iter().all(|subject| old.contains(subject))
}
