//! The models as arguments: which of them, and what is held out of a training.

use learn::model::{MODELS, Model};

/// What is held out of a training that is judged on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Per {
    /// The last part of each repository's runs.
    Repo,
    /// Whole repositories, each once.
    Project,
}

/// The model of that name.
pub fn parse(name: &str) -> Result<&'static dyn Model, String> {
    let names = MODELS.map(Model::name).join(", ");
    MODELS.into_iter().find(|model| model.name() == name).ok_or(format!("one of {names}"))
}

/// Those asked for; all when none is named.
pub fn chosen(asked: &[&'static dyn Model]) -> Vec<&'static dyn Model> {
    if asked.is_empty() { MODELS.to_vec() } else { asked.to_vec() }
}
