//! The `stack.toml` that a command works with.

use crate::failure::{Exit, Failure};
use stack::versions::Manifest;
use std::fs;
use std::path::{Path, PathBuf};

/// What a file declares, and the folder that its paths are below.
pub struct Declared {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// The folder.
    pub folder: PathBuf,
    /// What it declares.
    pub manifest: Manifest,
}

/// Reads a `stack.toml`; what is wrong with it is told with its line.
pub fn read(path: &Path) -> Result<Declared, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let manifest = Manifest::parse(&text).map_err(|mistake| {
        Failure::new(Exit::Failed, format!("{} is no stack: {mistake}", path.display()))
            .hint("`pipeline schema stack` prints what it may hold")
    })?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    Ok(Declared { path, folder, manifest })
}
