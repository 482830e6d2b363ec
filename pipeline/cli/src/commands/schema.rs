//! `schema`: the JSON Schema of an artifact, for programs that read it.

use crate::context::{Answer, Context, emit, emit_bytes};
use crate::failure::{Exit, Failure};
use clap::Args;
use serde_json::Value;

const PLAN: &str = include_str!("plan.schema.json");

/// What `schema` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline schema plan > plan.schema.json")]
pub struct SchemaArgs {
    /// The artifact
    #[arg(value_parser = ["plan"])]
    artifact: String,
}

/// Prints the schema.
pub fn run(context: &Context, _: SchemaArgs) -> Result<Answer, Failure> {
    let schema: Value = serde_json::from_str(PLAN).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    if !context.global.json {
        emit_bytes(PLAN.trim_end().as_bytes());
        emit("");
    }
    Ok(Answer::done(schema))
}
