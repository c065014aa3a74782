//! Passkeys: whether what a browser sends was made by a person's own authenticator, for what was asked.
//!
//! What lives here: the relying party's side of Web Authentication, pure: bytes in, an answer out. What does not: where
//! challenges and keys are kept (`store`), what a page shows (`web`), what an answer decides (`approval`).
//!
//! Built after Web Authentication Level 3 (<https://www.w3.org/TR/webauthn-3/>): registering is its section 7.1, asserting
//! its section 7.2, authenticator data its section 6.1. Keys are read as COSE has them (RFC 9053), CBOR as CTAP2 wants it
//! (RFC 8949, definite lengths). Signatures are ring's. The libraries for this bring a second stack of cryptography, RSA in
//! plain Rust or OpenSSL; what is needed of the standard is two ceremonies, so it is these few files.
//!
//! What is asked of an authenticator: that a person was there and that it knew them (user verification), always. What is not:
//! an attestation. Whose passkey it is rests on who was given the invitation, not on who made the device.

mod cbor;
mod ceremony;
mod data;
mod key;
mod secret;

pub use ceremony::{
    Asserted, Assertion, Challenge, Known, Refused, Registered, Registration, RelyingParty, has_signed,
};
pub use key::ALGORITHMS;
pub use secret::Secret;
