//! Request codes: four characters by which people name a request, such as `7K3F`.
//!
//! What lives here: which codes exist, and reading and writing them. What does not: which code a request has, and that
//! no two waiting requests share one (`store`).
//!
//! The alphabet has no look-alikes: of each pair that a hurried eye mixes up (0 O, 1 I L, 2 Z, 5 S, 6 G, 8 B, U V) at
//! most one is in it. Every code has at least one digit and at least one letter, so no code is an English word
//! (`deny TEXT` names no request), and none is a number (`stop 2345` is a run).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const DIGITS: &[u8] = b"23456789";
const LETTERS: &[u8] = b"ACDEFHJKMNPQRTVWXY";
const LENGTH: u32 = 4;

/// How many different codes there are.
pub const CODES: u32 = {
    let (digits, letters) = (DIGITS.len() as u32, LETTERS.len() as u32);
    (digits + letters).pow(LENGTH) - digits.pow(LENGTH) - letters.pow(LENGTH)
};

/// A request's code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code([u8; LENGTH as usize]);

impl Code {
    /// Reads a code in either case; anything that is not exactly a code is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut code: [u8; LENGTH as usize] = text.as_bytes().try_into().ok()?;
        code.make_ascii_uppercase();
        let (mut digit, mut letter) = (false, false);
        for character in code {
            match character {
                _ if DIGITS.contains(&character) => digit = true,
                _ if LETTERS.contains(&character) => letter = true,
                _ => return None,
            }
        }
        (digit && letter).then_some(Self(code))
    }

    /// The code that belongs to a random number. Evenly spread numbers give evenly spread codes, to within one part in
    /// ten thousand.
    pub fn from_entropy(entropy: u32) -> Self {
        let mut rank = entropy % CODES;
        let mut code = [0; LENGTH as usize];
        let (mut digit, mut letter) = (false, false);
        for (place, slot) in code.iter_mut().enumerate() {
            let left = LENGTH - 1 - place as u32;
            for &character in DIGITS.iter().chain(LETTERS) {
                let (with_digit, with_letter) =
                    (digit || DIGITS.contains(&character), letter || LETTERS.contains(&character));
                let here = endings(left, with_digit, with_letter);
                if rank < here {
                    (*slot, digit, letter) = (character, with_digit, with_letter);
                    break;
                }
                rank -= here;
            }
        }
        Self(code)
    }
}

/// In how many ways `left` more characters make a code, given what the ones before already hold.
fn endings(left: u32, digit: bool, letter: bool) -> u32 {
    let (digits, letters) = (DIGITS.len() as u32, LETTERS.len() as u32);
    let all = (digits + letters).pow(left);
    match (digit, letter) {
        (true, true) => all,
        (true, false) => all - digits.pow(left),
        (false, true) => all - letters.pow(left),
        (false, false) => all.saturating_sub(digits.pow(left)).saturating_sub(letters.pow(left)),
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", *byte as char))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({self})")
    }
}

/// Text that is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a code is four characters such as 7K3F")]
pub struct CodeError;

impl FromStr for Code {
    type Err = CodeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(CodeError)
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_either_case_and_nothing_else() {
        assert_eq!(Code::parse("7k3f"), Code::parse("7K3F"));
        assert_eq!(Code::parse("7k3f").expect("a code").to_string(), "7K3F");
        for wrong in
            ["", "7K3", "7K3FF", "TEXT", "THAT", "DENY", "2345", "7K3O", "7K3l", "7K 3", " 7K3F", "7é3", "𝟕K3F"]
        {
            assert_eq!(Code::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_rank_is_another_code() {
        let codes: BTreeSet<Code> = (0..CODES).map(Code::from_entropy).collect();
        assert_eq!(codes.len(), CODES as usize);
        assert_eq!(CODES, 26u32.pow(4) - 18u32.pow(4) - 8u32.pow(4));
    }

    proptest! {
        #[test]
        fn what_entropy_makes_can_be_read_again(entropy: u32) {
            let code = Code::from_entropy(entropy);
            prop_assert_eq!(Code::parse(&code.to_string()), Some(code));
            let json = serde_json::to_string(&code).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Code>(&json).expect("a code"), code);
        }
    }
}
