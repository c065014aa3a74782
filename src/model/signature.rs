//! What a grant's signature says, and signing and verifying it: pure.
//!
//! What lives here: the statement of a grant and its bytes, the hash over the decisions that count, keys in memory. What
//! does not: where a key is kept (`ledger::keys`), and what a signed statement is compared with (`approval`). Keeps I1:
//! whoever executes can tell a grant that the bot gave from a row that somebody wrote.
//!
//! A statement is made once, stored as bytes and never made again: what is verified is what was signed. The signature is
//! Ed25519 over `countersign/grant/v1`, a line feed, and those bytes.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::id::{Digest, GrantId, InboxId, PersonId, RequestId, RunId, TriggerName};
use super::request::{Answer, Decision, Proof, Stuck};

/// The version of statements that this binary writes.
pub const GRANT_VERSION: u16 = 1;
/// What stands before a statement when it is signed: nothing else that is ever signed begins so.
const DOMAIN: &[u8] = b"countersign/grant/v1\n";
/// What stands before the decisions when they are hashed.
const EVIDENCE: &[u8] = b"countersign/evidence/v1\n";
/// What stands before the 32 bytes of an Ed25519 key in PKCS#8, version 1 (RFC 8410).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The public half of a key, which is also its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        let high = (pair[0] as char).to_digit(16)?;
        let low = (pair[1] as char).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(bytes)
}

impl PublicKey {
    /// The first twelve hexadecimal characters: for eyes only, never compared.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// Reads 64 hexadecimal characters; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// Reads the 32 bytes of a column; any other length is `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a public key is 64 hexadecimal characters"))
    }
}

impl Signature {
    /// Reads the 64 bytes of a column; any other length is `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("a signature is 128 hexadecimal characters"))
    }
}

/// What a grant's signature says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`GRANT_VERSION`] of the binary that made it.
    pub version: u16,
    /// The ledger in which it was given: numbers of another one mean nothing here.
    pub ledger: String,
    /// The key that signs.
    pub key: PublicKey,
    /// The grant.
    pub grant: GrantId,
    /// Its request.
    pub request: RequestId,
    /// The only run that it lets start.
    pub run: RunId,
    /// The only plan that it lets that run execute.
    pub digest: Digest,
    /// The stuck step of that run that it is about; none: the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
    /// Why it was given.
    pub basis: Basis,
    /// When it was given.
    pub granted_at: DateTime<Utc>,
    /// The latest start of the run's first attempt.
    pub start_by: DateTime<Utc>,
    /// The latest start of any attempt.
    pub valid_until: DateTime<Utc>,
}

/// Why a grant was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Basis {
    /// People agreed.
    Decisions {
        /// Whose decisions count, in the order of stages and names.
        counted: Vec<Counted>,
        /// The hash over those decisions ([`evidence`]).
        evidence: Digest,
        /// Denials that stood and no longer counted, since their givers had lost the right by then.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        set_aside: Vec<Counted>,
    },
    /// Nobody was asked: a rule of the frozen policy let it.
    Rule {
        /// Which rule, such as `trigger:service-down`.
        rule: String,
    },
}

/// The rule that lets a trigger start by itself.
pub fn trigger_rule(trigger: &TriggerName) -> String {
    format!("trigger:{trigger}")
}

/// The rule that lets somebody start a run without agreement, by a line.
pub fn break_rule(person: &PersonId, line: InboxId) -> String {
    format!("break_glass:{person}:{line}")
}

/// The rule that lets somebody start a run without anybody's answer.
pub fn unasked_rule(person: &PersonId) -> String {
    format!("unasked:{person}")
}

/// A decision that counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// In which stage.
    pub stage: u32,
    /// Whose.
    pub person: PersonId,
    /// By which line or button: somebody may take an answer back and give another.
    pub line: InboxId,
}

/// A decision with all of it that is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDecision {
    /// To which request.
    pub request: RequestId,
    /// In which stage.
    pub stage: u32,
    /// Whose.
    pub person: PersonId,
    /// For whom, if they answered in another's place.
    pub on_behalf_of: Option<PersonId>,
    /// By which account, as written.
    pub account: String,
    /// What.
    pub answer: Answer,
    /// By what it is known that it was they.
    pub proof: Proof,
    /// When, to the microsecond.
    pub at: DateTime<Utc>,
    /// By which line or button.
    pub line: InboxId,
}

impl SignedDecision {
    /// A decision as it is hashed.
    pub fn new(request: RequestId, decision: &Decision, account: &str, at: DateTime<Utc>, line: InboxId) -> Self {
        let Decision { person, stage, answer, on_behalf_of, proof } = decision.clone();
        Self { request, stage, person, on_behalf_of, account: account.to_owned(), answer, proof, at, line }
    }

    fn counted(&self) -> Counted {
        Counted { stage: self.stage, person: self.person.clone(), line: self.line }
    }
}

impl Basis {
    /// Agreement by these decisions: the approvals among them count, the denials are set aside.
    pub fn agreed(decisions: &[SignedDecision]) -> Self {
        let (yes, no): (Vec<SignedDecision>, Vec<SignedDecision>) =
            decisions.iter().cloned().partition(|decision| decision.answer == Answer::Approve);
        let names = |decisions: &[SignedDecision]| {
            let sorted: BTreeSet<Counted> = decisions.iter().map(SignedDecision::counted).collect();
            sorted.into_iter().collect()
        };
        Self::Decisions { counted: names(&yes), evidence: evidence(&yes), set_aside: names(&no) }
    }
}

/// SHA-256 over decisions, in the order of stages and names whatever order they are given in: `countersign/evidence/v1`,
/// a line feed, how many there are as 4 bytes, and for each of them the request (8 bytes), the stage (4 bytes), the person,
/// for whom they answered (empty: for themselves), account, answer and proof (`chat`, or `passkey:` and which; each of the
/// five its length as 4 bytes and its UTF-8), the time in microseconds since 1970-01-01 00:00
/// UTC (8 bytes) and the line (8 bytes); numbers are big endian, two's complement.
pub fn evidence(decisions: &[SignedDecision]) -> Digest {
    let mut sorted: Vec<&SignedDecision> = decisions.iter().collect();
    sorted.sort_by(|a, b| (a.stage, &a.person, a.line).cmp(&(b.stage, &b.person, b.line)));
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut hash = Sha256::new();
    hash.update(EVIDENCE);
    hash.update(length(sorted.len()));
    for decision in sorted {
        hash.update(decision.request.0.to_be_bytes());
        hash.update(decision.stage.to_be_bytes());
        let proof = match &decision.proof {
            Proof::Chat => "chat".to_owned(),
            Proof::Passkey { credential } => format!("passkey:{credential}"),
        };
        let whom = decision.on_behalf_of.as_ref().map_or("", PersonId::as_str);
        for text in [decision.person.as_str(), whom, &decision.account, decision.answer.name(), &proof] {
            hash.update(length(text.len()));
            hash.update(text);
        }
        hash.update(decision.at.timestamp_micros().to_be_bytes());
        hash.update(decision.line.0.to_be_bytes());
    }
    Digest(hash.finalize().into())
}

/// A statement's bytes with their signature: what stands beside a grant and in the event that tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The key that is said to have signed.
    pub key: PublicKey,
    /// The statement, as it was signed.
    pub statement: String,
    /// Over it.
    pub signature: Signature,
}

/// Why something signed says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature is not that key's over those bytes.
    #[error("its signature is not that of the key {}: something that was signed has been changed", .0.short())]
    Forged(PublicKey),
    /// The bytes are signed and say nothing that this binary knows.
    #[error("what was signed cannot be read by this version of countersign ({0})")]
    Unreadable(String),
}

impl Signed {
    /// What was signed, once the signature is seen to be that of the key that is named. Whether that key may sign, and
    /// whether the statement is about what one thinks, is for the caller to see.
    ///
    /// # Errors
    /// When the signature is another's or over something else, and when the statement is of a version not known here.
    pub fn verify(&self) -> Result<Statement, SignatureError> {
        let mut bytes = DOMAIN.to_vec();
        bytes.extend_from_slice(self.statement.as_bytes());
        let verified = UnparsedPublicKey::new(&ED25519, self.key.0).verify(&bytes, &self.signature.0);
        verified.map_err(|_| SignatureError::Forged(self.key))?;
        let statement: Statement =
            serde_json::from_str(&self.statement).map_err(|error| SignatureError::Unreadable(error.to_string()))?;
        if statement.version != GRANT_VERSION {
            return Err(SignatureError::Unreadable(format!("version {}", statement.version)));
        }
        if statement.key != self.key {
            return Err(SignatureError::Forged(self.key));
        }
        Ok(statement)
    }
}

/// A private key, in memory. Never shown, not even for debugging.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, …)", self.public.short())
    }
}

/// A key file that holds no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it holds no Ed25519 key in PKCS#8")]
pub struct NoKey;

impl Signer {
    /// Reads a key as PKCS#8 in DER.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, NoKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| NoKey)?;
        let public = PublicKey::from_slice(pair.public_key().as_ref()).ok_or(NoKey)?;
        Ok(Self { pair, public })
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs a statement. Its `key` must be this one's.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn sign(&self, statement: &Statement) -> Result<Signed, serde_json::Error> {
        let statement = serde_json::to_string(statement)?;
        let mut bytes = DOMAIN.to_vec();
        bytes.extend_from_slice(statement.as_bytes());
        let mut signature = [0; 64];
        // An Ed25519 signature has 64 bytes.
        signature.copy_from_slice(self.pair.sign(&bytes).as_ref());
        Ok(Signed { key: self.public, statement, signature: Signature(signature) })
    }
}

/// A new key of 32 random bytes, as PKCS#8 in DER. Both are wiped when they are dropped.
pub fn pkcs8(seed: &Zeroizing<[u8; 32]>) -> Zeroizing<Vec<u8>> {
    let mut der = Zeroizing::new(Vec::with_capacity(PKCS8.len() + seed.len()));
    der.extend_from_slice(&PKCS8);
    der.extend_from_slice(&seed[..]);
    der
}

/// Whose signatures whoever executes goes by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The ledger that grants must be of.
    pub ledger: String,
    /// The only keys that are gone by, when the settings name any; else those of the ledger.
    pub keys: Option<Vec<PublicKey>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::from_pkcs8(&pkcs8(&Zeroizing::new([7; 32]))).expect("a key")
    }

    fn decision(stage: u32, person: &str, line: i64) -> SignedDecision {
        SignedDecision {
            request: RequestId(7),
            stage,
            person: PersonId::new(person),
            on_behalf_of: None,
            account: format!("slack:T1:{person}"),
            answer: Answer::Approve,
            proof: Proof::Chat,
            at: DateTime::from_timestamp_micros(1_795_298_989_123_456).expect("a time"),
            line: InboxId(line),
        }
    }

    fn statement() -> Statement {
        let at = |minutes: i64| {
            DateTime::from_timestamp_micros(1_795_298_989_123_456 + minutes * 60_000_000).expect("a time")
        };
        Statement {
            version: GRANT_VERSION,
            ledger: "00112233445566778899aabbccddeeff".to_owned(),
            key: signer().public(),
            grant: GrantId(3),
            request: RequestId(7),
            run: RunId(12),
            digest: Digest([0xab; 32]),
            stuck: None,
            basis: Basis::agreed(&[decision(0, "boss", 20)]),
            granted_at: at(0),
            start_by: at(10),
            valid_until: at(60),
        }
    }

    /// A signature of a released version: what it was made of must give the same for ever.
    #[test]
    fn a_stored_sample_stays_what_it_is() {
        let signed = signer().sign(&statement()).expect("signed");
        insta::assert_snapshot!(signed.key, @"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
        insta::assert_snapshot!(signed.statement, @r#"{"version":1,"ledger":"00112233445566778899aabbccddeeff","key":"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c","grant":3,"request":7,"run":12,"digest":"abababababababababababababababababababababababababababababababab","basis":{"kind":"decisions","counted":[{"stage":0,"person":"boss","line":20}],"evidence":"51232f308333a62f3fe7930cc61d2af39e9443803d699455085a3b7c761fda38"},"granted_at":"2026-11-21T22:09:49.123456Z","start_by":"2026-11-21T22:19:49.123456Z","valid_until":"2026-11-21T23:09:49.123456Z"}"#);
        insta::assert_snapshot!(signed.signature, @"02b1a52b3d33bf03094662d4d8802f255773bbbf92f9b5770c1ddd1f3f7e5565e8df3055faa6ad479cc5cdd241c90e086a01547feabf9e0dc415ca591eef6304");
        assert_eq!(signed.verify(), Ok(statement()));
        let rule = Statement { basis: Basis::Rule { rule: "trigger:service-down".to_owned() }, ..statement() };
        let signed = signer().sign(&rule).expect("signed");
        insta::assert_snapshot!(signed.statement, @r#"{"version":1,"ledger":"00112233445566778899aabbccddeeff","key":"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c","grant":3,"request":7,"run":12,"digest":"abababababababababababababababababababababababababababababababab","basis":{"kind":"rule","rule":"trigger:service-down"},"granted_at":"2026-11-21T22:09:49.123456Z","start_by":"2026-11-21T22:19:49.123456Z","valid_until":"2026-11-21T23:09:49.123456Z"}"#);
        assert_eq!(signed.verify(), Ok(rule));
    }

    /// Of a stuck step it is said which, and what is to become of it.
    #[test]
    fn what_is_signed_of_a_stuck_step_is_not_the_start_of_a_run() {
        let stuck = |free| Statement { stuck: Some(Stuck { step: 3, free }), ..statement() };
        let part = |statement: &Statement| {
            let signed = signer().sign(statement).expect("signed");
            assert_eq!(signed.verify().as_ref(), Ok(statement));
            let (from, to) = (signed.statement.find("\"stuck").expect("said"), signed.statement.find(",\"basis"));
            signed.statement[from..to.expect("said")].to_owned()
        };
        insta::assert_snapshot!(part(&stuck(None)), @r#""stuck":{"step":3}"#);
        insta::assert_snapshot!(part(&stuck(Some(crate::model::request::Freeing::Skip))), @r#""stuck":{"step":3,"free":"skip"}"#);
    }

    #[test]
    fn the_hash_over_decisions_is_of_what_they_say_and_not_of_their_order() {
        let (a, b) = (decision(0, "boss", 20), decision(1, "kim", 21));
        let whole = evidence(&[a.clone(), b.clone()]);
        insta::assert_snapshot!(whole, @"66b7995bafe3ceb24cc55a0bba496f4bc146a9cfaeccb19c66b5795f7b7eec91");
        assert_eq!(evidence(&[b.clone(), a.clone()]), whole);
        let at = a.at + chrono::TimeDelta::microseconds(1);
        let others = [
            SignedDecision { request: RequestId(8), ..a.clone() },
            SignedDecision { stage: 1, ..a.clone() },
            SignedDecision { person: PersonId::new("lin"), ..a.clone() },
            SignedDecision { account: "slack:T1:lin".to_owned(), ..a.clone() },
            SignedDecision { answer: Answer::Deny, ..a.clone() },
            SignedDecision { proof: Proof::Passkey { credential: "AAAA".to_owned() }, ..a.clone() },
            SignedDecision { on_behalf_of: Some(PersonId::new("kim")), ..a.clone() },
            SignedDecision { at, ..a.clone() },
            SignedDecision { line: InboxId(22), ..a.clone() },
            // A border between two texts that moved.
            SignedDecision { person: PersonId::new("bosss"), account: "lack:T1:boss".to_owned(), ..a.clone() },
        ];
        for other in others {
            assert_ne!(evidence(&[other.clone(), b.clone()]), whole, "{other:?}");
        }
        assert_ne!(evidence(&[a]), whole);
        assert_ne!(evidence(&[]), Digest([0; 32]));
    }

    #[test]
    fn i1_a_statement_of_which_anything_is_changed_is_no_longer_signed() {
        let signed = signer().sign(&statement()).expect("signed");
        let other = Signer::from_pkcs8(&pkcs8(&Zeroizing::new([8; 32]))).expect("a key");
        for (what, change) in [("grant\":3", "grant\":4"), ("run\":12", "run\":13"), ("boss", "lin"), ("}", "} ")] {
            let statement = signed.statement.replacen(what, change, 1);
            assert_ne!(statement, signed.statement, "{what}");
            let changed = Signed { statement, ..signed.clone() };
            assert_eq!(changed.verify(), Err(SignatureError::Forged(signed.key)), "{what}");
        }
        let mut bytes = signed.signature.0;
        bytes[9] ^= 1;
        assert!(Signed { signature: Signature(bytes), ..signed.clone() }.verify().is_err());
        assert!(Signed { key: other.public(), ..signed.clone() }.verify().is_err());
        // Who signs for another key signs nothing.
        let mut lent = other.sign(&statement()).expect("signed");
        assert_eq!(lent.verify(), Err(SignatureError::Forged(other.public())));
        lent.key = signed.key;
        assert_eq!(lent.verify(), Err(SignatureError::Forged(signed.key)));
    }

    #[test]
    fn a_statement_of_a_later_version_is_not_guessed_at() {
        let later = signer().sign(&Statement { version: 2, ..statement() }).expect("signed");
        insta::assert_snapshot!(later.verify().expect_err("not known"), @"what was signed cannot be read by this version of countersign (version 2)");
    }

    #[test]
    fn i8_a_private_key_is_never_shown() {
        let seed = Zeroizing::new([7; 32]);
        assert_eq!(format!("{:?}", signer()), format!("Signer({}, …)", signer().public().short()));
        assert!(!format!("{:?}", signer()).contains("0707"));
        assert_eq!(pkcs8(&seed).len(), 48);
        for wrong in [&b""[..], b"abc", &[0; 48], &pkcs8(&seed)[..47]] {
            assert_eq!(Signer::from_pkcs8(wrong).err(), Some(NoKey));
        }
    }
}
