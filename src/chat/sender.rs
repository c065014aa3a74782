//! The one queue out.
