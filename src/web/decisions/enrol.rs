//! Adding a passkey, by an invitation that an operator made for one person.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::html;

use super::super::pages::typed;
use super::{Fields, Shared, Wrong, at, hash_of, page, script_words, user_of};
use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::model::id::Digest;
use crate::model::request::credential_text;
use crate::passkey::{ALGORITHMS, Challenge, Registration};
use crate::store::{Invitation, NewPasskey};
use crate::text::visible::visible;

/// Characters of a passkey's name.
const MOST_NAME: usize = 60;

const NOTHING_ADDED: &str = "Nothing was added.";

/// The invitation of an address, if it can be used.
async fn invited(door: &Shared, hash: Digest) -> Result<Invitation, Wrong> {
    let pages = &door.pages;
    let invitation = pages.store.find_invitation(hash).await?.ok_or_else(Wrong::nothing)?;
    let (person, again) = (&invitation.person, "Ask an operator for another: `countersign passkey invite`.");
    let gone = |sentence: String| Err(Wrong::new(StatusCode::GONE, sentence));
    if invitation.used_at.is_some() {
        return gone(format!("This invitation was used: a passkey of {person}'s was added with it. {again}"));
    }
    if pages.store.clock().now() >= invitation.expires_at {
        return gone(format!("This invitation is over. {again}"));
    }
    if !(pages.catalog)().people.contains_key(person) {
        return gone(format!("{person} is not known here any more."));
    }
    Ok(invitation)
}

fn challenge(hash: Digest, invitation: &Invitation) -> Challenge {
    Challenge::bound_to("passkey", &[&hash.0, invitation.person.as_str().as_bytes()])
}

pub(super) async fn look(State(door): State<Shared>, Path(secret): Path<String>) -> Result<Html<String>, Wrong> {
    let hash = hash_of(&secret)?;
    let invitation = invited(&door, hash).await?;
    let (pages, person) = (&door.pages, &invitation.person);
    let mine = pages.store.list_passkeys(Some(person)).await?;
    let mine: Vec<_> = mine.into_iter().filter(|passkey| passkey.removed_at.is_none()).collect();
    let known: Vec<String> = mine.iter().map(|passkey| credential_text(&passkey.credential)).collect();
    let main = html! {
        div.sheet {
            h1 { "Add a passkey for " (visible(person.as_str())) }
            p { "With it you approve what needs more than a chat account. It stays on your device, or with whoever keeps \
                 your passkeys, and asks for your PIN, fingerprint or face each time." }
            p { "Are you not " (visible(person.as_str())) "? Then close this page and tell whoever sent it." }
            @if !mine.is_empty() {
                p.small { "Yours already: "
                    @for (at, passkey) in mine.iter().enumerate() {
                        @if at > 0 { ", " } (visible(&passkey.name)) " (number " (passkey.id) ")" } "." }
            }
            p.foot { "This page works once, until " (at(pages, invitation.expires_at)) "." }
        }
        (script_words("Adding a passkey needs this page's script, which speaks to it."))
        div.decide {
            form method="post" hidden data-challenge=(challenge(hash, &invitation).encoded()) data-party=(pages.party.id())
                data-user=(user_of(person)) data-name=(person.as_str()) data-known=(known.join(" "))
                data-algorithms=(ALGORITHMS.map(|number| number.to_string()).join(" ")) {
                label for="name" { "What you call it, such as phone" }
                input #name name="name" maxlength=(MOST_NAME) autocomplete="off";
                input type="hidden" name="client_data";
                input type="hidden" name="attestation";
                button.yes type="submit" { "Add a passkey" }
            }
        }
    };
    Ok(page(None, "Add a passkey", Some(person), &main))
}

pub(super) async fn enrol(
    State(door): State<Shared>,
    Path(secret): Path<String>,
    request: Request,
) -> Result<Response, Wrong> {
    let hash = hash_of(&secret)?;
    let fields = Fields::read(request).await?;
    let invitation = invited(&door, hash).await?;
    let (pages, person) = (&door.pages, &invitation.person);
    let (Some(client_data), Some(attestation)) = (fields.bytes("client_data"), fields.bytes("attestation")) else {
        return Err(Wrong::form());
    };
    let made = Registration { client_data: &client_data, attestation: &attestation };
    let made = pages.party.register(&challenge(hash, &invitation), made).map_err(|refused| {
        tracing::warn!(%person, %refused, "a passkey was not added");
        Wrong::new(StatusCode::FORBIDDEN, format!("{NOTHING_ADDED} Why: {refused}."))
    })?;
    let name: String = fields.text("name").chars().take(MOST_NAME).collect();
    let name = if name.is_empty() { "a passkey".to_owned() } else { name };
    let new = NewPasskey {
        person,
        credential: &made.credential,
        public_key: &made.public_key,
        count: made.count,
        may_be_copied: made.may_be_copied,
        name: &name,
    };
    let mut tx = pages.store.begin().await?;
    let Some(passkey) = tx.insert_passkey(hash, &new).await? else {
        return Err(Wrong::new(
            StatusCode::CONFLICT,
            format!("{NOTHING_ADDED} This invitation was used meanwhile, or that passkey is known already."),
        ));
    };
    let what = Happened::PasskeyAdded {
        passkey,
        person: person.clone(),
        name: name.clone(),
        credential: credential_text(&made.credential),
        public_key: URL_SAFE_NO_PAD.encode(&made.public_key),
    };
    tx.record(NewEvent { scope: Scope::default(), cause: None, record: Record { what, rows: Vec::new() } });
    tx.commit().await?;
    let main = html! {
        div.sheet {
            h1 { "Added" }
            div.result.good data-sentence {
                p { (visible(&name)) " is a passkey of " (visible(person.as_str())) " now, number " (passkey) "." }
                p { (typed(&format!("When you say `approved` to what needs it, you are sent a page. Is it lost one day, tell \
                     an operator: `countersign passkey remove {passkey}`."))) }
            }
        }
    };
    Ok(page(None, "Added", Some(person), &main).into_response())
}
