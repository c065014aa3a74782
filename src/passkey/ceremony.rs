//! The two ceremonies: making a credential, and proving that one is held.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::cbor::{self, Value};
use super::data::Data;
use super::key::PublicKey;

/// Whom browsers see: the host for which credentials are made, and the address of the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    origin: String,
}

impl RelyingParty {
    /// Of a host and an origin, which is `https://` and the host, with its port if that is not the scheme's own.
    pub fn new(id: impl Into<String>, origin: impl Into<String>) -> Self {
        Self { id: id.into(), origin: origin.into() }
    }

    /// The host: what browsers call the relying party's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The address of the pages, without a path.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// What an authenticator is to sign: 32 bytes that nobody could know before they were made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Challenge([u8; 32]);

impl Challenge {
    /// A challenge that is bound to a purpose and to everything that is meant: parts of any lengths, none of which can be
    /// taken for another. At least one of them must be secret until the challenge is shown, and used once.
    pub fn bound_to(purpose: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"countersign/");
        hash.update(purpose.as_bytes());
        hash.update(b"/v1\n");
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// What is signed on a page that shows a request: that page, that request, that plan, and what is done.
    pub fn of_page(link: &[u8; 32], request: i64, digest: &[u8; 32], done: &str) -> Self {
        Self::bound_to("decision", &[link, &request.to_be_bytes(), digest, done.as_bytes()])
    }

    /// As a page carries it: base64url without padding.
    pub fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge(…)")
    }
}

/// What a browser sends after a credential was made.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// What the browser says that it asked for: JSON.
    pub client_data: &'a [u8],
    /// What the authenticator made: CBOR.
    pub attestation: &'a [u8],
}

/// A credential that was made as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// What it is called, up to 1,023 bytes.
    pub credential: Vec<u8>,
    /// Its public key, as COSE has it.
    pub public_key: Vec<u8>,
    /// How often it has signed, if it counts.
    pub count: u32,
    /// Whether it may be kept in several places, as passkeys that a phone's maker keeps are. Never changes.
    pub may_be_copied: bool,
}

/// What a browser sends after a credential has signed.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// What the browser says that it asked for: JSON.
    pub client_data: &'a [u8],
    /// What the authenticator says of itself and of the moment.
    pub authenticator_data: &'a [u8],
    /// Its signature over both.
    pub signature: &'a [u8],
}

/// A credential that was registered before.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Its public key, as [`Registered`] had it.
    pub public_key: &'a [u8],
    /// How often it had signed when it was last seen.
    pub count: u32,
    /// As [`Registered`] had it.
    pub may_be_copied: bool,
}

/// A signature that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asserted {
    /// How often the credential has signed now; to be kept.
    pub count: u32,
}

/// Why what a browser sent proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read.
    #[error("what the browser sent cannot be read")]
    Unreadable,
    /// It is the other ceremony's.
    #[error("the passkey was asked for something else")]
    OtherCeremony,
    /// Another challenge was signed.
    #[error("the passkey has signed another question than this one")]
    OtherChallenge,
    /// It was signed on another page.
    #[error("the passkey was used on another page than this one")]
    OtherOrigin,
    /// It was signed for another host.
    #[error("the passkey was used for another host than this one")]
    OtherParty,
    /// Nobody touched it.
    #[error("nobody was there when the passkey was used")]
    NobodyThere,
    /// It was touched, but did not ask who touched it.
    #[error("the passkey did not ask who you are: set a PIN, a fingerprint or a face for it")]
    NotVerified,
    /// It contradicts itself about copies.
    #[error("the passkey says other things of itself than before")]
    OtherNature,
    /// A key of a kind that is not taken.
    #[error("the passkey has a key of a kind that is not taken here")]
    KindOfKey,
    /// The signature is not this key's.
    #[error("the signature is not this passkey's")]
    Signature,
    /// It has counted less than before: there may be two of it.
    #[error("the passkey counts {now} uses and had counted {before}: somebody may have copied it")]
    CountedBack {
        /// What was known.
        before: u32,
        /// What it says.
        now: u32,
    },
}

/// What the browser says that it asked an authenticator for. It may say more in time to come.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<String>,
}

impl RelyingParty {
    /// Checks what came of making a credential (section 7.1 of the standard). Whether its name is new, and whose it is, is
    /// for the caller.
    ///
    /// # Errors
    /// Why it is no credential to keep.
    pub fn register(&self, challenge: &Challenge, made: Registration<'_>) -> Result<Registered, Refused> {
        let client_data = asked_for("webauthn.create", challenge, made.client_data)?;
        self.is_here(&client_data)?;
        let object = cbor::whole(made.attestation).ok_or(Refused::Unreadable)?;
        // No attestation is asked for. One that comes all the same must be there in form, and says nothing to us.
        let (Some(Value::Text(_)), Some(Value::Map(_))) = (object.named("fmt"), object.named("attStmt")) else {
            return Err(Refused::Unreadable);
        };
        let data = object.named("authData").and_then(Value::bytes).ok_or(Refused::Unreadable)?;
        let data = self.data(data)?;
        let credential = data.credential.ok_or(Refused::Unreadable)?;
        PublicKey::read(&credential.key).ok_or(Refused::KindOfKey)?;
        Ok(Registered {
            credential: credential.id,
            public_key: credential.key,
            count: data.count,
            may_be_copied: data.may_be_copied,
        })
    }

    /// Checks what came of asking for a signature (section 7.2 of the standard). That the credential is one of those that
    /// may answer, and that the challenge is answered once, is for the caller.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn assert(&self, challenge: &Challenge, known: Known<'_>, said: Assertion<'_>) -> Result<Asserted, Refused> {
        let client_data = asked_for("webauthn.get", challenge, said.client_data)?;
        self.is_here(&client_data)?;
        let data = self.data(said.authenticator_data)?;
        if data.may_be_copied != known.may_be_copied {
            return Err(Refused::OtherNature);
        }
        signed(known.public_key, said)?;
        // Only now: what is not signed by the key is nobody's word. One that never counts says 0 for ever.
        if (data.count != 0 || known.count != 0) && data.count <= known.count {
            return Err(Refused::CountedBack { before: known.count, now: data.count });
        }
        Ok(Asserted { count: data.count })
    }

    fn is_here(&self, said: &ClientData) -> Result<(), Refused> {
        // Within a frame of another page nobody sees whose page it is.
        if said.origin != self.origin || said.cross_origin || said.top_origin.is_some() {
            return Err(Refused::OtherOrigin);
        }
        Ok(())
    }

    fn data(&self, bytes: &[u8]) -> Result<Data, Refused> {
        let data = known_person(bytes)?;
        if data.party != <[u8; 32]>::from(Sha256::digest(self.id.as_bytes())) {
            return Err(Refused::OtherParty);
        }
        if data.is_copied && !data.may_be_copied {
            return Err(Refused::OtherNature);
        }
        Ok(data)
    }
}

/// Whether a key has signed a challenge with its person there, for whoever looks at it later: on which page, and how often it
/// had signed, was looked at when it was said.
///
/// # Errors
/// Why it proves nothing.
pub fn has_signed(challenge: &Challenge, public_key: &[u8], said: Assertion<'_>) -> Result<(), Refused> {
    asked_for("webauthn.get", challenge, said.client_data)?;
    known_person(said.authenticator_data)?;
    signed(public_key, said)
}

/// What the browser says that it asked for, if it is that.
fn asked_for(ceremony: &str, challenge: &Challenge, bytes: &[u8]) -> Result<ClientData, Refused> {
    let said: ClientData = serde_json::from_slice(bytes).map_err(|_| Refused::Unreadable)?;
    if said.r#type != ceremony {
        return Err(Refused::OtherCeremony);
    }
    if said.challenge != challenge.encoded() {
        return Err(Refused::OtherChallenge);
    }
    Ok(said)
}

/// What the authenticator says of itself, if somebody was there whom it knew.
fn known_person(bytes: &[u8]) -> Result<Data, Refused> {
    let data = Data::read(bytes).ok_or(Refused::Unreadable)?;
    if !data.present {
        return Err(Refused::NobodyThere);
    }
    if !data.verified {
        return Err(Refused::NotVerified);
    }
    Ok(data)
}

fn signed(public_key: &[u8], said: Assertion<'_>) -> Result<(), Refused> {
    let key = PublicKey::read(public_key).ok_or(Refused::KindOfKey)?;
    let signed = [said.authenticator_data, Sha256::digest(said.client_data).as_slice()].concat();
    if key.has_signed(&signed, said.signature) { Ok(()) } else { Err(Refused::Signature) }
}

#[cfg(test)]
mod tests;
