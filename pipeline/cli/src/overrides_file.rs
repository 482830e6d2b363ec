//! The overrides file on a person's disk: pins, floors, ceilings, freezes, windows, quiet hours and tasks.

use crate::failure::{Exit, Failure, in_toml};
use domain::overrides::Overrides;
use std::fs;
use std::path::Path;

/// The overrides of a file; none of no file.
pub fn read_overrides(path: Option<&Path>) -> Result<Overrides, Failure> {
    let Some(path) = path else { return Ok(Overrides::default()) };
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let wrong = |what: String| {
        Failure::new(Exit::Failed, format!("{}: {what}", path.display())).hint(
            "an override is a [[override]] table with resource and freeze, pin, floor or ceiling; [[window]] and \
                 [[quiet]] tables have resource, from and to, a [[task]] has cpu_weight, io_weight, restart or running",
        )
    };
    let overrides: Overrides = toml::from_str(&text).map_err(|error| wrong(in_toml(&text, &error)))?;
    overrides.validate().map_err(wrong)?;
    Ok(overrides)
}
