//! Secrets: from their sources into a step's environment, and out of everything that is kept (I8).
//!
//! Values are read when the catalog is loaded and when a step starts; they live in memory only and never print.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use super::redact::Redactor;
use crate::model::catalog::{Catalog, SecretSource};
use crate::model::id::SecretName;

/// The values of a catalog's secrets.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Arc<BTreeMap<SecretName, Vec<u8>>>,
    redactor: Option<Arc<Redactor>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Secrets {
    /// Reads the secrets of a catalog. Those that cannot be read are named, with the reason; a step that needs one fails
    /// before it starts.
    /// `own` are the bot's: no step can name them, and they are taken out of what is kept like the others.
    pub fn read(catalog: &Catalog, own: &[(SecretName, Vec<u8>)]) -> (Self, Vec<String>) {
        let mut values = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, source) in &catalog.secrets {
            let value = match source {
                SecretSource::Env(variable) => std::env::var_os(variable)
                    .map(OsStringExt::into_vec)
                    .ok_or_else(|| format!("secret {name}: the environment variable {variable} is not set")),
                SecretSource::File(path) => std::fs::read(path)
                    .map(|mut bytes| {
                        while bytes.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
                            bytes.pop();
                        }
                        bytes
                    })
                    .map_err(|error| format!("secret {name}: {} cannot be read: {error}", path.display())),
            };
            match value {
                Ok(value) if super::redact::too_short(&value) => {
                    problems.push(format!(
                        "secret {name}: its value is shorter than {} bytes, too short to be kept out of what is shown",
                        super::redact::SHORTEST
                    ));
                }
                Ok(value) => {
                    values.insert(name.clone(), value);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let all = values.iter().map(|(name, value)| (name.clone(), value.clone())).chain(own.iter().cloned());
        let redactor = Redactor::new(all);
        (Self { values: Arc::new(values), redactor: Some(Arc::new(redactor)) }, problems)
    }

    /// The value of a secret, for a step's environment and nothing else.
    pub(super) fn value(&self, name: &SecretName) -> Option<OsString> {
        self.values.get(name).cloned().map(OsString::from_vec)
    }

    /// A redactor for one stream of output.
    pub fn redactor(&self) -> Redactor {
        self.redactor.as_ref().map_or_else(|| Redactor::new([]), |redactor| redactor.fresh())
    }

    /// A text of ours or of a person's with every secret taken out.
    pub fn redact(&self, text: &str) -> String {
        self.redactor.as_ref().map_or_else(|| text.to_owned(), |redactor| redactor.redact_text(text))
    }
}
