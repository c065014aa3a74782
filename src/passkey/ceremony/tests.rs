//! Both ceremonies, with authenticators of our own making.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::*;

const HOST: &str = "decide.example";
const ORIGIN: &str = "https://decide.example";

fn party() -> RelyingParty {
    RelyingParty::new(HOST, ORIGIN)
}

fn question() -> Challenge {
    Challenge::bound_to("test", &[b"one"])
}

/// An authenticator.
enum Authenticator {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Authenticator {
    fn p256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random);
        Self::P256(pair.expect("a key"))
    }

    fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key"))
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                // {1: 2, 3: -7, -1: 1, -2: x, -3: y}
                let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
                key.extend(&point[1..33]);
                key.extend([0x22, 0x58, 0x20]);
                key.extend(&point[33..]);
                key
            }
            Self::Ed25519(pair) => {
                // {1: 1, 3: -8, -1: 6, -2: x}
                let mut key = vec![0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20];
                key.extend(pair.public_key().as_ref());
                key
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

fn client_data(kind: &str, challenge: &Challenge, origin: &str) -> String {
    format!(
        r#"{{"type":"{kind}","challenge":"{}","origin":"{origin}","crossOrigin":false,"more":1}}"#,
        challenge.encoded()
    )
}

/// Authenticator data without a credential.
fn data(host: &str, flags: u8, count: u32) -> Vec<u8> {
    let mut data = Sha256::digest(host.as_bytes()).to_vec();
    data.push(flags);
    data.extend(count.to_be_bytes());
    data
}

/// Authenticator data with a credential that was made.
fn data_of_new(host: &str, flags: u8, key: &[u8]) -> Vec<u8> {
    let mut data = data(host, flags, 0);
    data.extend([0; 16]);
    data.extend([0, 4]);
    data.extend(b"name");
    data.extend(key);
    data
}

fn attestation(data: &[u8]) -> Vec<u8> {
    // {"fmt": "none", "attStmt": {}, "authData": …}
    let mut object = vec![0xa3, 0x63];
    object.extend(b"fmt");
    object.push(0x64);
    object.extend(b"none");
    object.push(0x67);
    object.extend(b"attStmt");
    object.extend([0xa0, 0x68]);
    object.extend(b"authData");
    object.push(0x59);
    object.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
    object.extend(data);
    object
}

/// Somebody was there and was known, and a credential is held.
const MADE: u8 = 0b0100_0101;
/// Somebody was there and was known.
const SIGNED: u8 = 0b0000_0101;

fn registered(client: &str, data: &[u8]) -> Result<Registered, Refused> {
    let attestation = attestation(data);
    party().register(&question(), Registration { client_data: client.as_bytes(), attestation: &attestation })
}

/// What comes of a signature over these.
fn asserted(with: &Authenticator, count: u32, client: &str, data: &[u8]) -> Result<Asserted, Refused> {
    let key = with.cose();
    let signature = with.sign(&[data, &Sha256::digest(client.as_bytes())].concat());
    let known = Known { public_key: &key, count, may_be_copied: false };
    let said = Assertion { client_data: client.as_bytes(), authenticator_data: data, signature: &signature };
    party().assert(&question(), known, said)
}

#[test]
fn a_credential_that_was_made_and_one_that_has_signed_are_taken() {
    for authenticator in [Authenticator::p256(), Authenticator::ed25519()] {
        let key = authenticator.cose();
        let made = registered(&client_data("webauthn.create", &question(), ORIGIN), &data_of_new(HOST, MADE, &key));
        let made = made.expect("a credential");
        assert_eq!((made.credential.as_slice(), &made.public_key, made.count), (b"name".as_slice(), &key, 0));
        let said = client_data("webauthn.get", &question(), ORIGIN);
        assert_eq!(asserted(&authenticator, 0, &said, &data(HOST, SIGNED, 0)), Ok(Asserted { count: 0 }));
        assert_eq!(asserted(&authenticator, 0, &said, &data(HOST, SIGNED, 1)), Ok(Asserted { count: 1 }));
    }
}

#[test]
fn a_signature_for_anything_else_proves_nothing() {
    let with = Authenticator::p256();
    let good = client_data("webauthn.get", &question(), ORIGIN);
    let refused = |client: &str, data: &[u8]| asserted(&with, 5, client, data).expect_err("refused");
    let six = data(HOST, SIGNED, 6);
    assert_eq!(refused(&client_data("webauthn.create", &question(), ORIGIN), &six), Refused::OtherCeremony);
    let other = Challenge::bound_to("test", &[b"two"]);
    assert_eq!(refused(&client_data("webauthn.get", &other, ORIGIN), &six), Refused::OtherChallenge);
    for origin in ["https://evil.example", "http://decide.example", "https://decide.example:444", "null", ""] {
        assert_eq!(refused(&client_data("webauthn.get", &question(), origin), &six), Refused::OtherOrigin, "{origin}");
    }
    assert_eq!(refused(&good.replace("false", "true"), &six), Refused::OtherOrigin);
    assert_eq!(
        refused(&good.replace("\"more\"", "\"topOrigin\":\"https://evil.example\",\"more\""), &six),
        Refused::OtherOrigin
    );
    assert_eq!(refused(&good, &data("evil.example", SIGNED, 6)), Refused::OtherParty);
    assert_eq!(refused(&good, &data(HOST, 0b100, 6)), Refused::NobodyThere);
    assert_eq!(refused(&good, &data(HOST, 0b001, 6)), Refused::NotVerified);
    assert_eq!(refused(&good, &data(HOST, SIGNED | 0b1000, 6)), Refused::OtherNature);
    assert_eq!(refused(&good, &data(HOST, SIGNED | 0b1_0000, 6)), Refused::OtherNature);
    for count in [0, 4, 5] {
        let back = Refused::CountedBack { before: 5, now: count };
        assert_eq!(refused(&good, &data(HOST, SIGNED, count)), back);
    }
    for client in ["", "{}", "[]", "\u{feff}{}", &good[1..]] {
        assert_eq!(refused(client, &six), Refused::Unreadable, "{client}");
    }
    for length in 0..six.len() {
        assert_eq!(refused(&good, &six[..length]), Refused::Unreadable);
    }
    assert_eq!(refused(&good, &[six.as_slice(), b"x"].concat()), Refused::Unreadable);
}

#[test]
fn a_signature_of_another_key_or_over_something_else_proves_nothing() {
    let (mine, other) = (Authenticator::p256(), Authenticator::p256());
    let client = client_data("webauthn.get", &question(), ORIGIN);
    let data = data(HOST, SIGNED, 1);
    let key = mine.cose();
    let known = Known { public_key: &key, count: 0, may_be_copied: false };
    let over = |message: &[u8], with: &Authenticator| {
        let signature = with.sign(message);
        let said = Assertion { client_data: client.as_bytes(), authenticator_data: &data, signature: &signature };
        party().assert(&question(), known, said)
    };
    let right = [data.as_slice(), &Sha256::digest(client.as_bytes())].concat();
    assert_eq!(over(&right, &mine), Ok(Asserted { count: 1 }));
    assert_eq!(over(&right, &other), Err(Refused::Signature));
    assert_eq!(over(&data, &mine), Err(Refused::Signature));
    assert_eq!(over(client.as_bytes(), &mine), Err(Refused::Signature));
    let ed = Authenticator::ed25519();
    assert_eq!(over(&right, &ed), Err(Refused::Signature));
    let none = Assertion { client_data: client.as_bytes(), authenticator_data: &data, signature: &[] };
    assert_eq!(party().assert(&question(), known, none), Err(Refused::Signature));
}

#[test]
fn a_credential_that_was_made_otherwise_is_not_kept() {
    let key = Authenticator::p256().cose();
    let good = client_data("webauthn.create", &question(), ORIGIN);
    let refused = |client: &str, data: &[u8]| registered(client, data).expect_err("refused");
    let made = data_of_new(HOST, MADE, &key);
    assert_eq!(refused(&client_data("webauthn.get", &question(), ORIGIN), &made), Refused::OtherCeremony);
    let other = Challenge::bound_to("test", &[b"on", b"e"]);
    assert_eq!(refused(&client_data("webauthn.create", &other, ORIGIN), &made), Refused::OtherChallenge);
    assert_eq!(refused(&client_data("webauthn.create", &question(), "http://localhost"), &made), Refused::OtherOrigin);
    assert_eq!(refused(&good, &data_of_new("localhost", MADE, &key)), Refused::OtherParty);
    assert_eq!(refused(&good, &data_of_new(HOST, MADE & !1, &key)), Refused::NobodyThere);
    assert_eq!(refused(&good, &data_of_new(HOST, MADE & !4, &key)), Refused::NotVerified);
    assert_eq!(refused(&good, &data(HOST, SIGNED, 0)), Refused::Unreadable, "no credential");
    // ES384 is real, and not taken; a point of another curve neither; a point that lacks a part neither.
    let with = |at: usize, byte: u8| {
        let mut key = key.clone();
        key[at] = byte;
        refused(&good, &data_of_new(HOST, MADE, &key))
    };
    assert_eq!(with(4, 0x38 - 0x15), Refused::KindOfKey);
    assert_eq!(with(6, 2), Refused::KindOfKey);
    assert_eq!(with(2, 1), Refused::KindOfKey);
    let object = attestation(&made);
    for length in 0..object.len() {
        let cut = Registration { client_data: good.as_bytes(), attestation: &object[..length] };
        assert_eq!(party().register(&question(), cut), Err(Refused::Unreadable), "{length}");
    }
}

#[test]
fn parts_of_a_challenge_cannot_be_taken_for_others() {
    let of = |purpose: &str, parts: &[&[u8]]| Challenge::bound_to(purpose, parts).encoded();
    let one = of("decision", &[b"ab", b"c"]);
    assert_eq!(one.len(), 43);
    for other in [of("decision", &[b"a", b"bc"]), of("decision", &[b"abc"]), of("enrolment", &[b"ab", b"c"])] {
        assert_ne!(one, other);
    }
    assert_eq!(format!("{:?}", question()), "Challenge(…)");
}
