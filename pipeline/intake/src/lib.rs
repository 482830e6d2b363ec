//! From the bytes of any source to columns: dumps are found, unpacked, decoded, told apart and turned into records by
//! day, each event once.
//!
//! Owns what a dump may look like and what becomes of each line of it: an event, a duplicate or a reject. Knows Arrow and
//! how the files of staging are encoded; where they are kept, and what is there already, is the business of a [`Sink`].
//! Knows no Delta table and no query engine.

mod arrays;
mod begin;
mod collect;
mod columns;
mod error;
mod formats;
mod known;
mod lines;
mod memo;
mod native;
mod reject;
mod retry;
mod rows;
mod sink;
mod slow;
mod source;
mod stage;
mod units;
mod whole;
mod write;

pub use arrays::Columns;
pub use columns::{events_schema, rejects_schema, timestamp_type};
pub use error::IntakeError;
pub use formats::{FORMATS, Format, whole_days};
pub use known::{Day, Known, Load, Verdict};
pub use native::{Key, NativeReader};
pub use retry::{Retried, retry_round, retry_rounds};
pub use rows::{REPO, Rows};
pub use sink::{NO_DAY, Sink};
pub use source::{Object, Source, cloud_options};
pub use stage::{IntakeSpec, RejectLimit, Tally, stage};
pub use whole::Broken;
pub use write::{BATCH_ROWS, HARDLY_REPEATED, encode, properties};
