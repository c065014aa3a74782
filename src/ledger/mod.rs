//! TODO-land: ledger.
