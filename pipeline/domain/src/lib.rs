//! Events, traces, predictions and plans, and the rules over them.
//!
//! Owns what things mean: what an event is and when two are the same, what may be stored about a
//! person, what a plan promises. Refuses everything that touches the world: no files, no network,
//! no clock, no Arrow. Time is always an argument.

pub mod causes;
pub mod columns;
pub mod container;
pub mod documentation;
pub mod drift;
pub mod event;
pub mod fields;
pub mod gather;
pub mod holidays;
pub mod hours;
pub mod identity;
pub mod json;
pub mod judge;
pub mod ledger;
pub mod location;
pub mod model;
pub mod nodes;
pub mod overrides;
pub mod own_memory;
pub mod packing;
pub mod paths;
pub mod plan;
pub mod privacy;
pub mod probability;
pub mod rollout;
pub mod rules;
mod state;
pub mod task;
pub mod time;
pub mod units;
pub mod verify;
pub mod what_if;
mod written;
pub mod zone;

pub use event::{Event, Reason};
pub use time::Timestamp;
