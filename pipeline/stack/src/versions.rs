//! Versions of a whole stack: what is declared of its components and groups in `stack.toml`.
//!
//! Owns the declaration, what may be wrong with it, and what of it is written to targets. Asks nothing and writes nothing by
//! itself: plans are made of it, and carried out as any other.

mod as_text;
mod component;
mod graph;
mod judge;
mod manifest;
mod place;
mod route;

pub use component::{Component, Kind, Restoring};
pub use judge::JudgeSection;
pub use manifest::{GroupSection, Manifest, Mistake};
pub use route::RouteSection;
