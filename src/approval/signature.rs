//! Signing a grant as it is given, and judging a stored one before anything starts under it.
//!
//! What lives here: [`give`], the one way to a row of `run_grant`, and what a stored signature must say about the row that
//! it stands beside and the decisions that it names. What does not: keys and bytes (`model::signature`), rows (`store`).
//! Keeps I1: a grant that the bot did not sign, or of which anything was changed since, lets nothing start.

use chrono::{DateTime, Utc};

use crate::model::id::{GrantId, RequestId, RunbookName, TriggerName};
use crate::model::plan::{Plan, PlanPolicy};
use crate::model::request::{Answer, Decision};
use crate::model::signature::{
    Basis, Counted, GRANT_VERSION, PublicKey, SignatureError, Signed, SignedDecision, Statement, Trust, break_rule,
    trigger_rule, unasked_rule,
};
use crate::store::{KeyKnown, Request, Result, StoreError, StoredDecision, StoredGrant, StoredSignature, Tx};

/// A grant about to be given.
#[derive(Debug)]
pub struct Give<'a> {
    /// To which request.
    pub request: &'a Request,
    /// Why.
    pub why: Why<'a>,
    /// The latest start of the run's first attempt.
    pub start_by: DateTime<Utc>,
    /// The latest start of any attempt.
    pub valid_until: DateTime<Utc>,
}

/// Why a grant is given.
#[derive(Debug)]
pub enum Why<'a> {
    /// These decisions agree: the approvals among them, and no others, count; the denials among them stand and count no longer.
    Agreed(&'a [&'a StoredDecision]),
    /// These decisions of an earlier request agree, and that approval covers this run too.
    Covered {
        /// The earlier request.
        by: RequestId,
        /// Its decisions, as in [`Why::Agreed`].
        decisions: &'a [&'a StoredDecision],
    },
    /// A rule of the frozen policy lets it ([`rule_of`], [`break_rule`]).
    Rule(String),
}

/// Why a stored signature does not let anything start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// It has none: it was given before grants were signed, or somebody wrote the row.
    #[error(
        "the approval bears no signature: it was given by an earlier version, or written by other hands; ask again"
    )]
    Unsigned,
    /// Nobody has heard of the key.
    #[error("the approval is signed by the key {}, which the ledger does not know", .0.short())]
    UnknownKey(PublicKey),
    /// The settings do not name the key.
    #[error("the approval is signed by the key {}, which `trusted_keys` does not name", .0.short())]
    UntrustedKey(PublicKey),
    /// The key had ended by then.
    #[error("the approval is signed by the key {}, which was retired before", .0.short())]
    RetiredKey(PublicKey),
    /// The signature says nothing.
    #[error("the approval is not in force: {0}")]
    Signature(#[from] SignatureError),
    /// What was signed is about something else.
    #[error("the approval was signed for another {0} than stands beside it")]
    Other(&'static str),
    /// The decisions are not those that were signed.
    #[error("the decisions are not those that the approval was signed for")]
    Decisions,
    /// No rule of the policy lets this start by itself, or another one does.
    #[error("the approval was signed for a rule that the plan's policy does not have")]
    Rule,
}

fn agreed(request: RequestId, decisions: &[&StoredDecision]) -> Basis {
    let decisions: Vec<SignedDecision> = decisions
        .iter()
        .map(|stored| {
            let StoredDecision { decision, account, at, line, reason: _, taken_back_at: _ } = stored;
            SignedDecision::new(request, decision, &account.to_string(), *at, *line)
        })
        .collect();
    Basis::agreed(&decisions)
}

/// The rule by which the frozen policy lets a run of a runbook start that nobody was asked about; `None`: it does not.
pub fn rule_of(trigger: Option<&TriggerName>, runbook: &RunbookName, policy: &PlanPolicy) -> Option<String> {
    let lets = |trigger: &&TriggerName| policy.automatic.iter().any(|rule| rule.lets(trigger, runbook));
    trigger.filter(lets).map(trigger_rule)
}

/// Gives a grant: makes its statement, signs it with this process's key, and inserts the row at version 1. Nothing else
/// inserts one. What comes back belongs into the event that tells of the grant.
///
/// # Errors
/// When this process holds no key, [`StoreError::Moved`] when its key was retired meanwhile, and when the database refuses.
pub async fn give(tx: &mut Tx, give: Give<'_>) -> Result<(GrantId, Signed)> {
    let Give { request, why, start_by, valid_until } = give;
    let Some(signer) = tx.keyring().signer() else {
        return Err(StoreError::Refused("this process holds no key to sign an approval with".to_owned()));
    };
    let ledger = tx.keyring().trust().ledger;
    let id = tx.begin_grant(signer.public()).await?;
    let statement = Statement {
        version: GRANT_VERSION,
        ledger,
        key: signer.public(),
        grant: id,
        request: request.id,
        run: request.run,
        digest: request.digest,
        stuck: request.wanted.stuck(),
        basis: match why {
            Why::Agreed(decisions) => agreed(request.id, decisions),
            Why::Covered { by, decisions } => agreed(by, decisions),
            Why::Rule(rule) => Basis::Rule { rule },
        },
        granted_at: tx.now(),
        start_by,
        valid_until,
    };
    let signed = signer.sign(&statement)?;
    tx.insert_grant(id, request, (start_by, valid_until), &signed).await?;
    Ok((id, signed))
}

/// What a signature says of the decisions that stand beside it.
#[derive(Debug, Default)]
pub(super) struct SignedFor {
    /// The approvals that count; nobody's where a rule lets it start.
    pub(super) counted: Vec<Decision>,
    /// The denials that no longer counted.
    set_aside: Vec<Counted>,
}

impl SignedFor {
    /// Whether a denial no longer counted when the grant was given.
    pub(super) fn sets_aside(&self, stored: &StoredDecision) -> bool {
        self.set_aside.iter().any(|one| is_it(one, stored))
    }
}

fn is_it(one: &Counted, stored: &StoredDecision) -> bool {
    let Decision { stage, person, .. } = &stored.decision;
    one.stage == *stage && one.person == *person && one.line == stored.line
}

/// Judges the signature of a stored grant against everything beside it, and returns why it was given: the decisions that
/// count, or nobody's.
///
/// # Errors
/// Whenever anything does not fit: then nothing may start.
pub(super) fn check(
    stored: &StoredGrant,
    trust: &Trust,
    plan: &Plan,
    policy: &PlanPolicy,
) -> Result<SignedFor, NotSigned> {
    let StoredSignature { signed, known, start_by } = stored.signature.as_ref().ok_or(NotSigned::Unsigned)?;
    let key = signed.key;
    if trust.keys.as_ref().is_some_and(|keys| !keys.contains(&key)) {
        return Err(NotSigned::UntrustedKey(key));
    }
    let KeyKnown::Yes { retired_at } = *known else { return Err(NotSigned::UnknownKey(key)) };
    let statement = signed.verify()?;
    if retired_at.is_some_and(|retired| statement.granted_at >= retired) {
        return Err(NotSigned::RetiredKey(key));
    }
    if let Some(what) = about_another(&statement, stored, *start_by, &trust.ledger) {
        return Err(NotSigned::Other(what));
    }
    match &statement.basis {
        Basis::Rule { rule } => {
            // Somebody broke the glass: whether the policy lets them is judged where the Grant is derived.
            if let Some(broken) = &stored.broken {
                let same = *rule == break_rule(&broken.person, broken.line) && stored.stuck.is_none();
                return if same { Ok(SignedFor::default()) } else { Err(NotSigned::Rule) };
            }
            // A further attempt of a step is never by itself (I3), and once somebody has decided, decisions are what counts.
            let by_itself = stored.stuck.is_none() && stored.decisions.is_empty();
            let whoever = match (stored.trigger.as_ref(), stored.requesters.as_slice()) {
                (None, [person]) if stored.unasked && policy.unasked.iter().any(|rule| rule.may_name(person)) => {
                    Some(unasked_rule(person))
                }
                (trigger, _) => rule_of(trigger, &plan.runbook, policy),
            };
            match whoever {
                Some(expected) if by_itself && expected == *rule => Ok(SignedFor::default()),
                Some(_) | None => Err(NotSigned::Rule),
            }
        }
        Basis::Decisions { counted, set_aside, evidence } => {
            let set_aside = set_aside.clone();
            let named = |stored: &&StoredDecision| counted.iter().any(|one| is_it(one, stored));
            let there: Vec<&StoredDecision> = stored.decisions.iter().filter(named).collect();
            let all_agree = there.iter().all(|stored| stored.decision.answer == Answer::Approve);
            // What an earlier approval covers was decided there.
            let decided = stored.under.map_or(stored.request, |under| under.request);
            let same = match agreed(decided, &there) {
                Basis::Decisions { counted: names, evidence: hash, set_aside: _ } => {
                    names == *counted && hash == *evidence
                }
                Basis::Rule { .. } => false,
            };
            if !all_agree || !same {
                return Err(NotSigned::Decisions);
            }
            Ok(SignedFor { counted: there.into_iter().map(|stored| stored.decision.clone()).collect(), set_aside })
        }
    }
}

/// What a statement says otherwise than the row that it stands beside.
fn about_another(
    statement: &Statement,
    stored: &StoredGrant,
    start_by: Option<DateTime<Utc>>,
    ledger: &str,
) -> Option<&'static str> {
    let Statement { version: _, ledger: of, key: _, grant, request, run, digest, stuck, basis: _, granted_at, .. } =
        statement;
    [
        ("ledger", of == ledger),
        ("number", *grant == stored.id),
        ("run", *run == stored.run),
        ("request", *request == stored.request),
        ("plan", *digest == stored.digest),
        ("step", *stuck == stored.stuck),
        ("time", *granted_at == stored.granted_at),
        ("latest start", Some(statement.start_by) == start_by),
        ("end", statement.valid_until == stored.expires_at),
    ]
    .into_iter()
    .find_map(|(what, same)| (!same).then_some(what))
}

#[cfg(test)]
pub(super) mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::approval::grant::tests::{granted, said};
    use crate::approval::{GrantError, derive};
    use crate::model::chat::Account;
    use crate::model::id::{Digest, InboxId, PersonId, RunId};
    use crate::model::request::{Freeing, Stuck};
    use crate::model::signature::{Signature, Signer, pkcs8};

    pub(in crate::approval) fn signer(seed: u8) -> Signer {
        Signer::from_pkcs8(&pkcs8(&Zeroizing::new([seed; 32]))).expect("a key")
    }

    pub(in crate::approval) fn trust() -> Trust {
        Trust { ledger: "ours".to_owned(), keys: None }
    }

    /// The grant signed as [`give`] does: for the approvals that stand beside it, else for the rule of its trigger.
    pub(in crate::approval) fn sign(stored: StoredGrant) -> StoredGrant {
        sign_for(stored, |answer| answer == Answer::Approve)
    }

    /// The same, with every denial that stands beside it set aside.
    pub(in crate::approval) fn sign_setting_aside(stored: StoredGrant) -> StoredGrant {
        sign_for(stored, |_| true)
    }

    fn sign_for(stored: StoredGrant, named: fn(Answer) -> bool) -> StoredGrant {
        let approvals: Vec<&StoredDecision> =
            stored.decisions.iter().filter(|stored| named(stored.decision.answer)).collect();
        let decided = stored.under.map_or(stored.request, |under| under.request);
        let basis = match (&stored.trigger, &stored.broken) {
            (_, Some(broken)) => Basis::Rule { rule: break_rule(&broken.person, broken.line) },
            (Some(trigger), None) if approvals.is_empty() => Basis::Rule { rule: trigger_rule(trigger) },
            _ => super::agreed(decided, &approvals),
        };
        let signed = signer(7).sign(&statement(&stored, basis)).expect("signed");
        StoredGrant {
            signature: Some(StoredSignature {
                signed,
                known: KeyKnown::Yes { retired_at: None },
                start_by: Some(stored.start_by),
            }),
            ..stored
        }
    }

    fn statement(stored: &StoredGrant, basis: Basis) -> Statement {
        Statement {
            version: GRANT_VERSION,
            ledger: trust().ledger,
            key: signer(7).public(),
            grant: stored.id,
            request: stored.request,
            run: stored.run,
            digest: stored.digest,
            stuck: stored.stuck,
            basis,
            granted_at: stored.granted_at,
            start_by: stored.start_by,
            valid_until: stored.expires_at,
        }
    }

    fn why(stored: &StoredGrant, trust: &Trust) -> String {
        match derive(stored, trust, stored.granted_at).expect_err("refused") {
            GrantError::NotSigned(error) => error.to_string(),
            other => format!("other: {other}"),
        }
    }

    fn agreed() -> StoredGrant {
        sign(StoredGrant { decisions: vec![said("boss", Answer::Approve)], ..granted(None, &[]) })
    }

    fn with(change: impl FnOnce(&mut StoredSignature)) -> StoredGrant {
        let mut stored = agreed();
        change(stored.signature.as_mut().expect("signed"));
        stored
    }

    #[test]
    fn i1_a_grant_that_is_signed_as_it_stands_lets_its_run_start() {
        assert!(derive(&agreed(), &trust(), agreed().granted_at).is_ok());
        let pinned = Trust { keys: Some(vec![signer(8).public(), signer(7).public()]), ..trust() };
        assert!(derive(&agreed(), &pinned, agreed().granted_at).is_ok());
    }

    #[test]
    fn i1_a_grant_of_which_anything_was_changed_lets_nothing_start() {
        let more = chrono::TimeDelta::days(1);
        let mut found = Vec::new();
        type Change = (&'static str, fn(&mut StoredGrant));
        let changes: [Change; 10] = [
            ("id", |stored| stored.id = GrantId(2)),
            ("run", |stored| stored.run = RunId(2)),
            ("request", |stored| stored.request = RequestId(2)),
            ("granted_at", |stored| stored.granted_at += chrono::TimeDelta::seconds(1)),
            ("expires_at", |stored| stored.expires_at += chrono::TimeDelta::days(1)),
            ("step", |stored| stored.stuck = Some(Stuck { step: 3, free: None })),
            ("person", |stored| stored.decisions[0].decision.person = PersonId::new("lin")),
            ("account", |stored| stored.decisions[0].account = "local:trial:y".parse::<Account>().expect("an account")),
            ("line", |stored| stored.decisions[0].line = InboxId(2)),
            ("at", |stored| stored.decisions[0].at += chrono::TimeDelta::seconds(1)),
        ];
        for (what, change) in changes {
            let mut stored = agreed();
            change(&mut stored);
            found.push(format!("{what}: {}", why(&stored, &trust())));
        }
        let gone = StoredGrant { decisions: Vec::new(), ..agreed() };
        found.push(format!("no decision: {}", why(&gone, &trust())));
        insta::assert_snapshot!(found.join("\n"), @"
        id: the approval was signed for another number than stands beside it
        run: the approval was signed for another run than stands beside it
        request: the approval was signed for another request than stands beside it
        granted_at: the approval was signed for another time than stands beside it
        expires_at: the approval was signed for another end than stands beside it
        step: the approval was signed for another step than stands beside it
        person: the decisions are not those that the approval was signed for
        account: the decisions are not those that the approval was signed for
        line: the decisions are not those that the approval was signed for
        at: the decisions are not those that the approval was signed for
        no decision: the decisions are not those that the approval was signed for
        ");
        assert!(agreed().expires_at + more > agreed().expires_at);
    }

    /// That a stuck step is left out is not that it is tried again.
    #[test]
    fn i3_what_was_signed_for_leaving_a_step_out_lets_no_other_attempt_start() {
        let skip = Some(Stuck { step: 1, free: Some(Freeing::Skip) });
        let decisions = vec![said("boss", Answer::Approve)];
        let left_out = sign(StoredGrant { stuck: skip, decisions, ..granted(None, &[]) });
        assert!(derive(&left_out, &trust(), left_out.granted_at).is_ok());
        for stuck in [None, Some(Stuck { step: 1, free: None }), Some(Stuck { step: 2, free: Some(Freeing::Skip) })] {
            let changed = StoredGrant { stuck, ..left_out.clone() };
            assert_eq!(why(&changed, &trust()), "the approval was signed for another step than stands beside it");
        }
    }

    #[test]
    fn i1_nobody_elses_signature_counts() {
        let retired = |at| with(|s| s.known = KeyKnown::Yes { retired_at: Some(at) });
        let told = [
            why(&StoredGrant { signature: None, ..agreed() }, &trust()),
            why(&with(|s| s.known = KeyKnown::No), &trust()),
            why(&retired(agreed().granted_at), &trust()),
            why(&agreed(), &Trust { keys: Some(vec![signer(8).public()]), ..trust() }),
            why(&agreed(), &Trust { ledger: "another".to_owned(), ..trust() }),
            why(&agreed(), &Trust::default()),
            why(&with(|s| s.signed.signature = Signature([0; 64])), &trust()),
            why(&with(|s| s.signed.key = signer(8).public()), &trust()),
            why(&with(|s| s.signed.statement.push(' ')), &trust()),
        ];
        insta::assert_snapshot!(told.join("\n"), @"
        the approval bears no signature: it was given by an earlier version, or written by other hands; ask again
        the approval is signed by the key ea4a6c63e29c, which the ledger does not know
        the approval is signed by the key ea4a6c63e29c, which was retired before
        the approval is signed by the key ea4a6c63e29c, which `trusted_keys` does not name
        the approval was signed for another ledger than stands beside it
        the approval was signed for another ledger than stands beside it
        the approval is not in force: its signature is not that of the key ea4a6c63e29c: something that was signed has been changed
        the approval is not in force: its signature is not that of the key 1398f62c6d1a: something that was signed has been changed
        the approval is not in force: its signature is not that of the key ea4a6c63e29c: something that was signed has been changed
        ");
        let later = retired(agreed().granted_at + chrono::TimeDelta::microseconds(1));
        assert!(derive(&later, &trust(), later.granted_at).is_ok(), "what it signed before its end stays valid");
    }

    #[test]
    fn i7_an_approval_that_was_not_signed_for_does_not_count() {
        // Two have to agree; one did, and the row of the other was written later.
        let two = |decisions| {
            let mut stored = granted(None, &[]);
            stored.decisions = decisions;
            stored
        };
        let one = sign(two(vec![said("lin", Answer::Approve)]));
        let both = StoredGrant { decisions: vec![said("lin", Answer::Approve), said("boss", Answer::Approve)], ..one };
        let derived = derive(&both, &trust(), both.granted_at);
        // The stage asks for one person, so that one suffices; without that one's row nothing does.
        assert!(derived.is_ok());
        let only_the_other = StoredGrant { decisions: vec![said("boss", Answer::Approve)], ..both };
        assert_eq!(why(&only_the_other, &trust()), NotSigned::Decisions.to_string());
    }

    #[test]
    fn i1_a_signature_for_a_rule_is_none_for_another() {
        let stored = sign(granted(Some("down"), &[("down", Some("start"))]));
        assert!(derive(&stored, &trust(), stored.granted_at).is_ok());
        for rule in ["trigger:other", "person:mei", ""] {
            let signed = signer(7).sign(&statement(&stored, Basis::Rule { rule: rule.to_owned() })).expect("signed");
            let known = KeyKnown::Yes { retired_at: None };
            let other = StoredGrant {
                signature: Some(StoredSignature { signed, known, start_by: Some(stored.start_by) }),
                ..stored.clone()
            };
            assert_eq!(why(&other, &trust()), NotSigned::Rule.to_string(), "{rule}");
        }
        let other = Digest([1; 32]);
        assert_ne!(stored.digest, other);
    }
}
