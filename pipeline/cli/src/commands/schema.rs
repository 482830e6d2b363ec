//! `schema`: the JSON Schema of an artifact, for programs that read it.

use crate::context::{Answer, Context, emit, emit_bytes};
use crate::failure::{Exit, Failure};
use clap::Args;
use serde_json::Value;

const PLAN: &str = include_str!("plan.schema.json");
const STACK: &str = include_str!("stack.schema.json");

/// What `schema` takes.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The artifact
    #[arg(value_parser = ["plan", "stack"])]
    artifact: String,
}

/// Prints the schema.
pub fn run(context: &Context, args: SchemaArgs) -> Result<Answer, Failure> {
    let text = if args.artifact == "stack" { STACK } else { PLAN };
    let schema: Value = serde_json::from_str(text).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    if !context.global.json {
        emit_bytes(text.trim_end().as_bytes());
        emit("");
    }
    Ok(Answer::done(schema))
}
