//! Managed Postgres.
