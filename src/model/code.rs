//! Request codes (replaced at merge).
use serde::{Deserialize, Serialize};
/// A request's code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(String);
impl Code {
    /// Reads a code.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 4).then(|| Self(text.to_ascii_uppercase()))
    }
    /// Makes one.
    pub fn from_entropy(entropy: u32) -> Self {
        Self(format!("{:04}", entropy % 10000))
    }
}
impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
