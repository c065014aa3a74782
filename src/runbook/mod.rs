//! TODO-land: runbook.
