//! `schema`: the JSON Schema of an artifact, for programs that read it.

use crate::context::{Answer, Context, emit, emit_bytes};
use crate::failure::{Exit, Failure};
use clap::{Args, ValueEnum};
use serde_json::Value;

const PLAN: &str = include_str!("plan.schema.json");
const RULES: &str = include_str!("rules.schema.json");
const STACK: &str = include_str!("stack.schema.json");

/// The arguments of `schema`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline schema plan > plan.schema.json")]
pub struct SchemaArgs {
    /// The artifact
    #[arg(value_enum)]
    artifact: Artifact,
}

/// The artifacts that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Artifact {
    /// plan.json
    Plan,
    /// rules.toml, with the built-in rules as its default
    Rules,
    /// stack.toml, as JSON
    Stack,
}

/// Prints the schema.
pub fn run(context: &Context, args: SchemaArgs) -> Result<Answer, Failure> {
    let text = match args.artifact {
        Artifact::Plan => PLAN,
        Artifact::Rules => RULES,
        Artifact::Stack => STACK,
    };
    let schema: Value = serde_json::from_str(text).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    if !context.global.json {
        emit_bytes(text.trim_end().as_bytes());
        emit("");
    }
    Ok(Answer::done(schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_rules_has_those_inside_as_its_default() {
        let schema: Value = serde_json::from_str(RULES).unwrap();
        let inside: Value = toml::from_str(domain::rules::DEFAULT).unwrap();
        assert_eq!(schema["default"], inside);
    }
}
