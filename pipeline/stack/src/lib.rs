//! Live targets: read what is set, apply a plan, roll it back.
//!
//! Owns the way from an approved change to the thing that carries it: the lock, the journal, the atomic write, the
//! proof that nothing else was touched. Refuses to guess: what it cannot read for certain it reports as unknown, and
//! what it cannot change for certain it leaves alone. Decides nothing; the plan comes from `domain`.
//!
//! One kind of target, one file: [`Target`] names it, [`Session`] says what it must be able to do.

pub mod apply;
pub mod compose;
pub mod error;
pub mod journal;
pub mod target;
mod write;

pub use apply::{Done, apply, apply_held, rollback, rollback_held};
pub use error::StackError;
pub use journal::{Journal, Phase, Step};
pub use target::{Change, Figure, Live, Refusal, Session, Target};
