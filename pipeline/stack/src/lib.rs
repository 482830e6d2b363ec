//! Live targets: read what is set, apply a plan, roll it back.
//!
//! Owns the way from an approved change to the thing that carries it: the lock, the journal, the atomic write, the
//! proof that nothing else was touched. Refuses to guess: what it cannot read for certain it reports as unknown, and
//! what it cannot change for certain it leaves alone. Decides nothing; the plan comes from `domain`.
//!
//! What is declared of a whole stack, its components and their groups, is read here too ([`versions`]).
//!
//! One kind of target, one file: [`Target`] and [`Session`] say what it must be able to do. Texts that are written as a
//! whole (files) and targets that are changed step by step (an Engine) stand side by side.

pub mod apply;
mod bounded;
pub mod ci;
pub mod compose;
pub mod devcontainer;
pub mod docker;
pub mod error;
pub mod exec;
mod files;
pub mod haproxy;
pub mod health;
mod holder;
pub mod journal;
pub mod kubernetes;
pub mod target;
mod text;
pub mod text_file;
pub mod versions;
mod write;
mod yaml;

pub use apply::{Done, Held, How, Switched, Wanted, Work, apply, rehearse, rollback, steady, step, switch};
pub use error::StackError;
pub use health::Health;
pub use journal::{Journal, Phase, Progress, Step};
pub use target::{Change, CiJob, Figure, Live, Refusal, Session, Stand, Target, parse_target, planned_target};
