//! Reading CBOR, as far as authenticators write it: definite lengths, no tags.
//!
//! What comes in was written by whoever opened a page: nothing here trusts a length, and nesting has an end.

/// How deep values may nest. An attestation statement of a whole chain of certificates has four.
const DEEPEST: usize = 8;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A whole number. CBOR's reach from -2^64 to 2^64-1.
    Integer(i128),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// Values in order.
    Array(Vec<Value>),
    /// Pairs, in the order written. No key occurs twice.
    Map(Vec<(Value, Value)>),
    /// `true` or `false`.
    Bool(bool),
    /// Nothing: null or undefined.
    Null,
}

impl Value {
    /// The value under a number of a map.
    pub(super) fn at(&self, key: i128) -> Option<&Value> {
        self.find(&Value::Integer(key))
    }

    /// The value under a name of a map.
    pub(super) fn named(&self, key: &str) -> Option<&Value> {
        self.find(&Value::Text(key.to_owned()))
    }

    fn find(&self, key: &Value) -> Option<&Value> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Its bytes, if that is what it is.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// Its number, if that is what it is.
    pub(super) fn integer(&self) -> Option<i128> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }
}

/// Reads the first value; what follows it is returned. `None`: it is no CBOR of this kind.
pub(super) fn first(bytes: &[u8]) -> Option<(Value, &[u8])> {
    value(bytes, DEEPEST)
}

/// Reads a value that is all there is.
pub(super) fn whole(bytes: &[u8]) -> Option<Value> {
    let (value, rest) = first(bytes)?;
    rest.is_empty().then_some(value)
}

fn value(bytes: &[u8], deep: usize) -> Option<(Value, &[u8])> {
    let deep = deep.checked_sub(1)?;
    let (&initial, rest) = bytes.split_first()?;
    let (major, info) = (initial >> 5, initial & 0x1f);
    if major == 7 {
        return match info {
            20 => Some((Value::Bool(false), rest)),
            21 => Some((Value::Bool(true), rest)),
            22 | 23 => Some((Value::Null, rest)),
            _ => None,
        };
    }
    let (argument, rest) = argument(info, rest)?;
    match major {
        0 => Some((Value::Integer(i128::from(argument)), rest)),
        1 => Some((Value::Integer(-1 - i128::from(argument)), rest)),
        2 => {
            let (bytes, rest) = split(rest, argument)?;
            Some((Value::Bytes(bytes.to_vec()), rest))
        }
        3 => {
            let (bytes, rest) = split(rest, argument)?;
            Some((Value::Text(String::from_utf8(bytes.to_vec()).ok()?), rest))
        }
        4 => {
            let (mut items, mut rest) = (Vec::new(), rest);
            for _ in 0..argument {
                let (item, after) = value(rest, deep)?;
                items.push(item);
                rest = after;
            }
            Some((Value::Array(items), rest))
        }
        5 => {
            let (mut pairs, mut rest) = (Vec::<(Value, Value)>::new(), rest);
            for _ in 0..argument {
                let (key, after) = value(rest, deep)?;
                let (item, after) = value(after, deep)?;
                if pairs.iter().any(|(known, _)| *known == key) {
                    return None;
                }
                pairs.push((key, item));
                rest = after;
            }
            Some((Value::Map(pairs), rest))
        }
        _ => None,
    }
}

/// The number that follows a first byte.
fn argument(info: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    let length = match info {
        0..=23 => return Some((u64::from(info), rest)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        // Indefinite lengths, and what is not assigned.
        _ => return None,
    };
    let (bytes, rest) = split(rest, length)?;
    Some((bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)), rest))
}

fn split(bytes: &[u8], at: u64) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(at).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    #[test]
    fn examples_of_the_standard_are_read() {
        // RFC 8949, appendix A.
        let read = |text: &str| whole(&hex(text)).expect(text);
        for (text, number) in [("00", 0), ("17", 23), ("1818", 24), ("1903e8", 1000), ("20", -1), ("3903e7", -1000)] {
            assert_eq!(read(text), Value::Integer(number), "{text}");
        }
        assert_eq!(read("1bffffffffffffffff"), Value::Integer(u64::MAX.into()));
        assert_eq!(read("3bffffffffffffffff"), Value::Integer(-1 - i128::from(u64::MAX)));
        assert_eq!(read("4401020304"), Value::Bytes(vec![1, 2, 3, 4]));
        assert_eq!(read("6449455446"), Value::Text("IETF".to_owned()));
        assert_eq!(read("83010203"), Value::Array([1, 2, 3].map(Value::Integer).to_vec()));
        assert_eq!(read("a201020304").at(3), Some(&Value::Integer(4)));
        assert_eq!(read("a16161f5").named("a"), Some(&Value::Bool(true)));
        assert_eq!(read("f6"), Value::Null);
    }

    #[test]
    fn what_is_cut_off_indefinite_tagged_doubled_or_too_deep_is_not_read() {
        for wrong in
            ["", "18", "44010203", "5f42010243030405ff", "c074", "a201020103", "1c", "f90000", "0000", "62c328"]
        {
            assert_eq!(whole(&hex(wrong)), None, "{wrong}");
        }
        assert!(whole(&hex(&format!("{}00", "81".repeat(DEEPEST - 1)))).is_some());
        assert!(whole(&hex(&format!("{}00", "81".repeat(DEEPEST)))).is_none());
        // A length beyond what there is costs nothing.
        assert_eq!(whole(&hex("9bffffffffffffffff")), None);
        assert_eq!(whole(&hex("5bffffffffffffffff")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some((_, rest)) = first(&bytes) {
                prop_assert!(rest.len() < bytes.len());
            }
        }
    }
}
