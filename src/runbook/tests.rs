//! Whole catalogs, right and wrong.
use super::*;
use std::path::PathBuf;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks")
}

#[test]
fn the_shipped_catalog_loads() {
    let loaded = load(&shipped()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(loaded.files.len(), 8);
}
