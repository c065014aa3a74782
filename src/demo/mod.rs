//! The demo world: a small supervisor with two real services, which the shipped runbooks act on through a command line
//! as they would act on a real supervisor through `supervisorctl`.
//!
//! The supervisor is a process of its own in a session of its own: it outlives the bot, and a bot that starts again
//! adopts it. The services outlive nobody: they end with the supervisor, however that ends. In reading order:
//! [`state`] says what a service can be, [`mod@service`] is one, [`supervisor`] keeps them, [`protocol`] is how it is
//! spoken to, [`mod@ctl`] speaks to it, [`adopt`] is the bot's door, [`place`] says where all of it is.
//!
//! What does not live here: anything of the bot. Nothing here knows runs, approvals or the ledger.

mod adopt;
mod ctl;
mod place;
mod protocol;
mod service;
mod state;
mod supervisor;

pub use adopt::{Demo, ensure};
pub use ctl::{CtlArgs, CtlOutcome, Deed, ctl};
pub use place::{DemoError, dir_for};
pub use service::{ServiceArgs, service};
pub use supervisor::{ServeArgs, serve};
