//! Public keys, and whether one of them has signed something.

use ring::signature::{self, UnparsedPublicKey};

use super::cbor::{self, Value};

/// The kinds of keys that are taken, by their numbers in COSE, the first best: ES256, EdDSA over Ed25519, and RS256, which
/// is all that the security chips of many desks have.
pub const ALGORITHMS: [i32; 3] = [ES256, EDDSA, RS256];

const ES256: i32 = -7;
const EDDSA: i32 = -8;
const RS256: i32 = -257;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// A point of P-256, uncompressed.
    Es256([u8; 65]),
    /// A key of Ed25519.
    EdDsa([u8; 32]),
    /// Modulus and exponent, big endian.
    Rs256 { n: Vec<u8>, e: Vec<u8> },
}

impl PublicKey {
    /// Reads a key as COSE has it. `None`: it is none of the [kinds](ALGORITHMS) that are taken.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let cose = cbor::whole(bytes)?;
        // 1: the family, 3: the algorithm; -1 and on: what belongs to the family.
        let number = |at| cose.at(at).and_then(Value::integer);
        let part = |at| cose.at(at).and_then(Value::bytes);
        match (number(1)?, i32::try_from(number(3)?).ok()?) {
            (2, ES256) if number(-1)? == 1 => {
                let mut point = [4; 65];
                point[1..33].copy_from_slice(part(-2).filter(|x| x.len() == 32)?);
                point[33..].copy_from_slice(part(-3).filter(|y| y.len() == 32)?);
                Some(Self::Es256(point))
            }
            (1, EDDSA) if number(-1)? == 6 => Some(Self::EdDsa(part(-2)?.try_into().ok()?)),
            (3, RS256) => Some(Self::Rs256 { n: part(-1)?.to_vec(), e: part(-2)?.to_vec() }),
            _ => None,
        }
    }

    /// Whether a signature of this key stands over a message.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Es256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::EdDsa(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature),
            Self::Rs256 { n, e } => signature::RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        };
        verified.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// A modulus of 2,048 bits whose private half was thrown away, and its signature over `countersign`; made by another
    /// program.
    const MODULUS: &str = "rYC8GmBm4sDe08KjwabMXofCisNCeYYT57x0JplycWU/XuUwlwxgIoaa2db8VYPeP9jYvmeBOVAcnQVoCMMdGF8DAv0Jc46xiWzktMZDIDU5DD71E7HqSVChZWy56qLMw2V/895DBhrKZI6TbjMyQDSs50MugLqVHrI4NAGDdaH//0CPgQh/ZFfPmMuDLrmVa5iD7N+yMqkj0F7XLDqB0AWnHCf9v9qV/fFNWE4anGSV/Cl0grtW0s9KcxHBlm+h0XFfwaEnsIag3bTJyfXlzzbDsB2OGs07+z18bVJpjes6gvZceB51OOPSyXdbbjw6ono/wD87nDcMtTZ6fd3o2w==";
    const SIGNED: &str = "CFKTaJ7AwyA0iWPGJDChNktHciRsPwZDS/WmqvIlLV1y7UMm/Cf6j36DN5XL3rQRHoyi19kQ9ZuuRn9v1Hxw6nAgR6KSqesn6+TgghMToD5k2670dZS9JKXplwE5CFJsn6tsJo7hD69MHoOswNBDd/KRF5Sb2TLT4uYtD/cEdEe2lGKjQtJKzSbtAgjbNxfVNfofuOSGUVziYC8iAY+O2aBjFY5ZAWSTCuD9GDkz7iMTE9z60UgaJF3QdS5VAiedYxyzxIK8HdBnWs3rXcEbsyIrwXlrz55kOUyYYb3zIY9KXEqty6WAcsXM6PC6UaQgfk9J+WZqZooKOY0mISodjQ==";

    #[test]
    fn a_key_of_a_desks_security_chip_signs() {
        // {1: 3, 3: -257, -1: n, -2: e}
        let mut key = vec![0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59, 0x01, 0x00];
        key.extend(STANDARD.decode(MODULUS).expect("base64"));
        key.extend([0x21, 0x43, 0x01, 0x00, 0x01]);
        let read = PublicKey::read(&key).expect("a key");
        let signature = STANDARD.decode(SIGNED).expect("base64");
        assert!(read.has_signed(b"countersign", &signature));
        assert!(!read.has_signed(b"countersigns", &signature));
        key[20] ^= 1;
        assert!(!PublicKey::read(&key).expect("a key").has_signed(b"countersign", &signature));
    }
}
