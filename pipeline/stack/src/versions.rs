//! Versions of a whole stack: what is declared of its components and groups in `stack.toml`.
//!
//! Owns the declaration, what may be wrong with it, and what of it is written to targets. Asks nothing and writes nothing by
//! itself: plans are made of it, and carried out as any other.

mod as_text;
mod ask;
mod component;
mod graph;
mod group;
mod judge;
mod kinds;
mod live;
mod manifest;
mod place;
mod route;

pub use ask::{Answered, ask_all};
pub use component::{Carrier, Component, Kind, Restoring};
pub use group::{Group, Member};
pub use judge::JudgeSection;
pub use live::tagged;
pub use manifest::{GroupSection, Manifest, Mistake};
pub use route::RouteSection;
pub use semver::Version;

/// What a newer OpenAPI document breaks for those who call the older one, in words.
///
/// # Errors
/// In words: one of them is no OpenAPI document in JSON or YAML.
pub fn breaking_changes(older: &str, newer: &str) -> Result<Vec<String>, String> {
    Ok(kinds::openapi::Document::parse(older)?.breaks(&kinds::openapi::Document::parse(newer)?))
}
