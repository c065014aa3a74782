//! Output, bounded: the beginning and the end are kept, the middle is counted.

/// How many bytes of the beginning are kept.
const HEAD: usize = 48 * 1024;
/// How many bytes of the end are kept.
const TAIL: usize = 16 * 1024;

/// Collects output up to a bound.
#[derive(Debug, Default)]
pub(super) struct Capture {
    head: Vec<u8>,
    tail: std::collections::VecDeque<u8>,
    left_out: u64,
}

impl Capture {
    /// Takes more output.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD - self.head.len();
        let (first, rest) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
        self.left_out += over as u64;
    }

    /// Whether nothing was said.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// What is kept, with a line in the middle that says how much is not; and how many bytes those were.
    pub(super) fn finish(self) -> (Vec<u8>, u64) {
        let mut bytes = self.head;
        if self.left_out > 0 {
            bytes.extend_from_slice(format!("\n[{} bytes left out]\n", self.left_out).as_bytes());
        }
        bytes.extend(self.tail);
        (bytes, self.left_out)
    }

    /// The first line that says something.
    pub(super) fn first_line(&self) -> Option<String> {
        lines(&self.head).next()
    }

    /// The last line that says something.
    pub(super) fn last_line(&self) -> Option<String> {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        lines(&tail).last().or_else(|| lines(&self.head).last())
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    bytes
        .split(|byte| *byte == b'\n' || *byte == b'\r')
        // No text column takes a NUL, and whoever reads the line should see that one was there.
        .map(|line| {
            String::from_utf8_lossy(line).replace('\0', "\u{fffd}").trim().chars().take(200).collect::<String>()
        })
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_that_say_something() {
        let mut capture = Capture::default();
        capture.push(b"\n  first \r\nsecond\n\n");
        assert_eq!(capture.first_line().as_deref(), Some("first"));
        assert_eq!(capture.last_line().as_deref(), Some("second"));
        assert_eq!(Capture::default().last_line(), None);
        let mut binary = Capture::default();
        binary.push(b"x\0y\xff\n");
        assert_eq!(binary.first_line().as_deref(), Some("x\u{fffd}y\u{fffd}"), "whatever a program says can be stored");
    }

    proptest! {
        #[test]
        fn what_is_kept_is_bounded_and_counted(chunks in prop::collection::vec(0..40_000_usize, 0..12)) {
            let mut capture = Capture::default();
            let mut whole = Vec::new();
            for (index, length) in chunks.into_iter().enumerate() {
                let chunk = vec![b'a' + index as u8; length];
                whole.extend_from_slice(&chunk);
                capture.push(&chunk);
            }
            let (bytes, left_out) = capture.finish();
            prop_assert!(bytes.len() <= HEAD + TAIL + 64);
            prop_assert!(whole.starts_with(&bytes[..bytes.len().min(HEAD)]));
            if left_out == 0 {
                prop_assert_eq!(bytes, whole);
            } else {
                prop_assert_eq!(whole.len() as u64, (HEAD + TAIL) as u64 + left_out);
                prop_assert!(whole.ends_with(&bytes[bytes.len() - TAIL..]));
            }
        }
    }
}
