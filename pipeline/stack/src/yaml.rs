//! YAML, and JSON with comments, to the byte: what stands where, what it means, and where an amount goes.
//!
//! One editor for every target that is written so. Owns the text; what its keys mean is the target's.

pub(crate) mod json;
pub(crate) mod place;
mod relaxed;
pub(crate) mod set;
pub(crate) mod stream;
pub(crate) mod tree;
pub(crate) mod value;
