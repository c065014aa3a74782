//! An authenticator in software, for tests that do not want a browser: it makes one passkey, and signs with it what a page
//! asks for, or something else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use sha2::{Digest as _, Sha256};

/// One passkey of somebody's.
pub(crate) struct Authenticator {
    pair: EcdsaKeyPair,
    id: Vec<u8>,
    /// For which host it was made.
    party: String,
    /// Where its person is, as their browser says.
    pub(crate) origin: String,
    /// Whether it knows who touches it.
    pub(crate) verifies: bool,
    /// What it counts next.
    pub(crate) count: u32,
    /// What its person is called, as the page that made it said.
    user: String,
}

/// The value of an attribute of a form that asks for a passkey.
pub(crate) fn data<'a>(form: &'a str, name: &str) -> &'a str {
    let (_, after) = form.split_once(&format!("data-{name}=\"")).unwrap_or_else(|| panic!("no data-{name} in {form}"));
    after.split('"').next().expect("a value")
}

/// The form of a page that has these words in it.
pub(crate) fn form<'a>(page: &'a str, words: &str) -> &'a str {
    let found = page.split("<form").skip(1).find(|form| form.contains(words));
    found.unwrap_or_else(|| panic!("no form with `{words}` in {page}"))
}

impl Authenticator {
    /// One that has made nothing yet.
    pub(crate) fn new(origin: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        let mut id = vec![0; 16];
        getrandom::fill(&mut id).expect("randomness");
        let party = origin.split("://").nth(1).expect("an origin").split(':').next().expect("a host").to_owned();
        Self { pair, id, party, origin: origin.to_owned(), verifies: true, count: 0, user: String::new() }
    }

    /// Answers a page that asks for a new passkey: the fields of its form.
    pub(crate) fn make(&mut self, page: &str, name: &str) -> Vec<(String, String)> {
        let form = form(page, "data-algorithms");
        assert_eq!(data(form, "party"), self.party);
        data(form, "user").clone_into(&mut self.user);
        let client_data = self.client_data("webauthn.create", data(form, "challenge"));
        let mut authenticator_data = self.authenticator_data(0b0100_0000);
        authenticator_data.extend([0; 16]);
        authenticator_data.extend([0, 16]);
        authenticator_data.extend(&self.id);
        let point = self.pair.public_key().as_ref();
        authenticator_data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        authenticator_data.extend(&point[1..33]);
        authenticator_data.extend([0x22, 0x58, 0x20]);
        authenticator_data.extend(&point[33..]);
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(authenticator_data.len()).expect("short"));
        object.extend(&authenticator_data);
        fields([("name", name.to_owned()), ("client_data", encoded(client_data)), ("attestation", encoded(object))])
    }

    /// Signs what a form of a page asks for: the fields of that form.
    pub(crate) fn sign(&mut self, form: &str, answer: &str) -> Vec<(String, String)> {
        let client_data = self.client_data("webauthn.get", data(form, "challenge"));
        let authenticator_data = self.authenticator_data(0);
        let signed = [authenticator_data.as_slice(), &Sha256::digest(&client_data)].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).expect("a signature");
        fields([
            ("answer", answer.to_owned()),
            ("credential", encoded(&self.id)),
            ("client_data", encoded(client_data)),
            ("authenticator_data", encoded(authenticator_data)),
            ("signature", encoded(signature)),
            ("user", self.user.clone()),
        ])
    }

    fn client_data(&self, kind: &str, challenge: &str) -> Vec<u8> {
        let origin = &self.origin;
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#).into_bytes()
    }

    fn authenticator_data(&mut self, flags: u8) -> Vec<u8> {
        let mut data = Sha256::digest(self.party.as_bytes()).to_vec();
        data.push(flags | 1 | if self.verifies { 0b100 } else { 0 });
        data.extend(self.count.to_be_bytes());
        self.count += 1;
        data
    }
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn fields<const N: usize>(fields: [(&str, String); N]) -> Vec<(String, String)> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
