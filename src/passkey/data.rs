//! Authenticator data: what the authenticator says of itself and of the moment, and signs.

use super::cbor::{self, Value};

const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const MAY_BE_COPIED: u8 = 1 << 3;
const IS_COPIED: u8 = 1 << 4;
const HOLDS_CREDENTIAL: u8 = 1 << 6;
const HOLDS_EXTENSIONS: u8 = 1 << 7;

/// The longest name of a credential that the standard allows.
const LONGEST_ID: usize = 1023;

/// Authenticator data, taken apart (section 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Data {
    /// SHA-256 of the relying party's id.
    pub(super) party: [u8; 32],
    /// Somebody was there.
    pub(super) present: bool,
    /// The authenticator knew them.
    pub(super) verified: bool,
    /// The credential may be kept in several places.
    pub(super) may_be_copied: bool,
    /// It is.
    pub(super) is_copied: bool,
    /// How often it was used, if the authenticator counts; else 0.
    pub(super) count: u32,
    /// The credential, where one was made.
    pub(super) credential: Option<NewCredential>,
}

/// A credential as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewCredential {
    /// What it is called.
    pub(super) id: Vec<u8>,
    /// Its public key, as COSE has it.
    pub(super) key: Vec<u8>,
}

impl Data {
    /// Takes it apart. `None`: it is not authenticator data, or more than that.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (party, rest) = bytes.split_first_chunk::<32>()?;
        let (&[flags], rest) = rest.split_first_chunk::<1>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let has = |flag| flags & flag != 0;
        let (credential, rest) = if has(HOLDS_CREDENTIAL) { credential(rest)? } else { (None, rest) };
        let rest = if has(HOLDS_EXTENSIONS) {
            let (Value::Map(_), rest) = cbor::first(rest)? else { return None };
            rest
        } else {
            rest
        };
        rest.is_empty().then_some(Self {
            party: *party,
            present: has(PRESENT),
            verified: has(VERIFIED),
            may_be_copied: has(MAY_BE_COPIED),
            is_copied: has(IS_COPIED),
            count: u32::from_be_bytes(*count),
            credential,
        })
    }
}

fn credential(bytes: &[u8]) -> Option<(Option<NewCredential>, &[u8])> {
    // Which model of authenticator it is: nobody here asks.
    let (_, rest) = bytes.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 || length > LONGEST_ID {
        return None;
    }
    let (id, rest) = rest.split_at_checked(length)?;
    let (_, after) = cbor::first(rest)?;
    let key = rest.get(..rest.len() - after.len())?;
    Some((Some(NewCredential { id: id.to_vec(), key: key.to_vec() }), after))
}
