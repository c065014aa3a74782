//! A second proof: whoever approves what wants a passkey, or breaks its glass, is sent, alone, to a page of their own; and what
//! was signed there decides in the transaction that uses the page up (I4), what was signed and nothing else (I1).

use chrono::TimeDelta;

use super::super::turn::Turn;
use super::decide::bind_read;
use crate::model::chat::{Said, Signed};
use crate::model::code::Code;
use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::model::id::{Digest, RequestId};
use crate::model::request::{OnPage, Proof, credential_of};
use crate::passkey::Secret;
use crate::store::{NewDecisionLink, Purpose, Request, Result};
use crate::text;
use crate::web::decisions::decide_at;

/// How long such a page can be used, if the request waits as long.
const DECIDES_FOR: TimeDelta = TimeDelta::minutes(10);

/// What a line does something to, and by what it is known who said it.
pub(super) struct Meant {
    pub(super) request: RequestId,
    pub(super) proof: Proof,
}

/// Finds what a line means: of a page with a passkey, what was signed there; of everything else, what its words say. Refuses,
/// and returns `None`, where that is nothing, or is worth nothing.
pub(super) async fn meant(turn: &mut Turn<'_>, code: Option<Code>, done: OnPage) -> Result<Option<Meant>> {
    let signed = match &turn.incoming.what {
        Said::Press { signed, .. } => signed.as_deref(),
        Said::Line { .. } | Said::Edit { .. } => None,
    };
    match signed {
        Some(signed) => by_page(turn, signed, code, done).await,
        None => {
            let request = bind_read(turn, code, done.words()).await?;
            Ok(request.map(|request| Meant { request, proof: Proof::Chat }))
        }
    }
}

/// Uses a page up by what was signed on it.
async fn by_page(turn: &mut Turn<'_>, signed: &Signed, code: Option<Code>, done: OnPage) -> Result<Option<Meant>> {
    let request = turn.tx.lock_request(signed.request).await?;
    // The words came beside the signature: they must say what was signed.
    let said = code == Some(request.code) && done == signed.done;
    if !said || request.digest != signed.digest || request.room != *turn.room() {
        tracing::error!(request = %request.code, "what was said with a passkey is not what was signed");
        turn.refuse_privately(text::passkey::not_what_was_signed());
        return Ok(None);
    }
    let person = turn.person.clone();
    // An account may have become somebody else's between the page and here.
    let is_theirs = match credential_of(&signed.credential) {
        Some(credential) => turn.tx.is_passkey_of(&credential, &person).await?,
        None => false,
    };
    if !is_theirs {
        turn.refuse_privately(text::passkey::not_theirs(&request.code, done));
        return Ok(None);
    }
    if !turn.tx.use_decision_link(&person, signed).await? {
        turn.refuse_privately(text::passkey::page_is_over(&request.code, done));
        return Ok(None);
    }
    let Signed { page: _, link, digest, passkey, client_data, authenticator_data, signature, .. } = signed.clone();
    let what = Happened::PasskeyUsed {
        passkey,
        person,
        request: request.id,
        code: request.code,
        digest,
        link,
        answer: done,
        client_data,
        authenticator_data,
        signature,
    };
    let scope = scope_of(turn, &request).await?;
    turn.tx.record(NewEvent { scope, cause: Some(turn.line), record: Record { what, rows: Vec::new() } });
    turn.acts_in(&request.room);
    let proof = Proof::Passkey { credential: signed.credential.clone() };
    Ok(Some(Meant { request: request.id, proof }))
}

async fn scope_of(turn: &mut Turn<'_>, request: &Request) -> Result<Scope> {
    let run = turn.tx.find_run(request.run).await?;
    Ok(run.map(|run| run.scope()).unwrap_or_default())
}

/// Sends the speaker to a page of their own for a request that waits for them. Saying it again makes another page, and ends
/// this one. `reason` is what they said already; breaking the glass wants one.
pub(super) async fn ask_for_passkey(
    turn: &mut Turn<'_>,
    request: &Request,
    purpose: Purpose,
    reason: Option<&str>,
) -> Result<()> {
    let (person, code) = (turn.person.clone(), request.code);
    let Some(origin) = turn.app.decisions.clone() else {
        turn.refuse(text::passkey::no_page(&code, for_what(purpose)));
        return Ok(());
    };
    if !turn.tx.has_passkey(&person).await? {
        turn.refuse_privately(text::passkey::no_passkey(&person, &code, for_what(purpose)));
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
        purpose,
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
    let scope = scope_of(turn, request).await?;
    turn.tx.record(NewEvent { scope, cause: Some(turn.line), record: Record { what, rows: Vec::new() } });
    let link = decide_at(&origin, &secret);
    let until = turn.app.times.until(expires_at, now);
    let sentence = text::passkey::decide_at(&code, for_what(purpose), &link, &until);
    turn.refuse_with_link(sentence, link);
    Ok(())
}

fn for_what(purpose: Purpose) -> text::passkey::For {
    match purpose {
        Purpose::Decide => text::passkey::For::Deciding,
        Purpose::BreakGlass => text::passkey::For::BreakingTheGlass,
    }
}
