//! What stands in the address of a one-time page.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// 256 bits that open a page. Kept nowhere: what is kept is their [hash](Secret::hash).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Of bytes that nobody can guess: from the system's randomness.
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Reads what stands in an address: 43 characters of base64url. `None`: it is none, and no page has it.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// As it stands in an address.
    pub fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// SHA-256 of it: what is kept.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_from_its_address_and_is_never_shown() {
        let secret = Secret::new([0xfb; 32]);
        assert_eq!(secret.encoded().len(), 43);
        assert_eq!(Secret::parse(&secret.encoded()), Some(secret));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_ne!(secret.hash(), Secret::new([0xfc; 32]).hash());
        let long = format!("{}A", secret.encoded());
        for wrong in ["", "x", &secret.encoded()[1..], &long, &secret.encoded().replace('-', "+")] {
            assert_eq!(Secret::parse(wrong), None, "{wrong}");
        }
    }
}
