//! A second proof: whoever approves what wants a passkey is sent, alone, to a page on which to decide.

use chrono::TimeDelta;

use super::super::turn::Turn;
use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::model::id::Digest;
use crate::model::request::Proof;
use crate::passkey::{Secret, credential_of};
use crate::store::{NewDecisionLink, Request, Result};
use crate::text;
use crate::web::decisions::decide_at;

/// How long such a page can be used, if the request waits as long.
const DECIDES_FOR: TimeDelta = TimeDelta::minutes(10);

/// Whether what a press brought with it is still worth what it says: its passkey is in use and the speaker's own. An
/// account may have become somebody else's between the page and here.
pub(super) async fn holds(turn: &mut Turn<'_>, proof: &Proof) -> Result<bool> {
    let Proof::Passkey { credential } = proof else { return Ok(true) };
    let Some(credential) = credential_of(credential) else { return Ok(false) };
    let person = turn.person.clone();
    turn.tx.is_passkey_of(&credential, &person).await
}

/// Sends the speaker to a page of their own for a request that waits for them. Saying it again makes another page, and ends
/// this one. `reason` is what they said already.
pub(super) async fn ask_for_passkey(turn: &mut Turn<'_>, request: &Request, reason: Option<&str>) -> Result<()> {
    let (person, code) = (turn.person.clone(), request.code);
    let Some(origin) = turn.app.decisions.clone() else {
        turn.refuse(text::passkey::no_page(&code));
        return Ok(());
    };
    if !turn.tx.has_passkey(&person).await? {
        turn.refuse_privately(text::passkey::no_passkey(&person, &code));
        return Ok(());
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let secret = Secret::new(random);
    let now = turn.tx.now();
    let expires_at = request.expires_at.min(now + DECIDES_FOR);
    let account = turn.incoming.account.clone();
    let new = NewDecisionLink {
        hash: Digest(secret.hash()),
        request: request.id,
        digest: request.digest,
        person: &person,
        account: &account,
        line: turn.line,
        reason,
        expires_at,
    };
    turn.tx.insert_decision_link(&new).await?;
    let what = Happened::DecisionLinked {
        request: request.id,
        code,
        person: person.clone(),
        account: account.clone(),
        digest: request.digest,
        link: new.hash,
        expires_at,
    };
    let run = turn.tx.find_run(request.run).await?;
    let scope = run.map_or_else(Scope::default, |run| Scope {
        system: Some(run.system),
        environment: Some(run.environment),
        incident: run.incident,
        run: Some(run.id),
        ..Scope::default()
    });
    turn.tx.record(NewEvent { scope, cause: Some(turn.line), record: Record { what, rows: Vec::new() } });
    let link = decide_at(&origin, &secret);
    let until = turn.app.times.until(expires_at, now);
    let sentence = text::passkey::decide_at(&code, &link, &until);
    turn.refuse_with_link(sentence, link);
    Ok(())
}
