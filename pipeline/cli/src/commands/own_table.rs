//! `train contention --features`: a feature table of one's own, judged on its own split. Needs no lake and keeps no model.

use crate::context::{Answer, Context};
use crate::failure::Failure;
use crate::model_card::{show_probability, table};
use clap::Args;
use learn::own_table::{TableSpec, train};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The arguments for training on the user's own table.
#[derive(Debug, Args)]
#[command(next_help_heading = "A feature table of your own (contention only; needs no lake, keeps no model)")]
pub struct OwnTableArgs {
    /// Train on this Parquet file: one row per sample, sorted by time
    #[arg(long, value_name = "FILE", requires = "label", requires = "split", conflicts_with_all = ["since", "until"])]
    pub features: Option<PathBuf>,
    /// Column with the outcome: 0 or 1, true or false
    #[arg(long, value_name = "COLUMN", requires = "features")]
    label: Option<String>,
    /// Column that groups rows, such as the rows of one run
    #[arg(long, value_name = "COLUMN", requires = "features")]
    group: Option<String>,
    /// Column with `train` or `test`; rows with any other value are not used
    #[arg(long, value_name = "COLUMN", requires = "features")]
    split: Option<String>,
    /// Columns to exclude from training
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', requires = "features")]
    ignore: Vec<String>,
    /// Write the row number, probability and likely cause of every test row to this Parquet file
    #[arg(long, value_name = "FILE", requires = "features")]
    predictions: Option<PathBuf>,
}

/// Learns from the training rows, prints how well the test rows were predicted.
pub fn run(context: &Context, args: OwnTableArgs, seed: u64) -> Result<Answer, Failure> {
    let OwnTableArgs { features, label, group, split, ignore, predictions } = args;
    let spec = TableSpec {
        features: features.unwrap_or_default(),
        label: label.unwrap_or_default(),
        group,
        split: split.unwrap_or_default(),
        ignore,
        seed,
        predictions,
    };
    let task = context.progress.task("train contention");
    let judged = train(&spec)?;
    drop(task);
    context.say(format!("contention · {} rows trained, {} held out", judged.rows_train, judged.rows_test));
    table(context, &judged.metrics, &judged.baselines);
    show_probability(context, &judged.probability);
    let mut object: Map<String, Value> = judged.metrics.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    object.insert("n_train".into(), json!(judged.rows_train));
    object.insert("n_test".into(), json!(judged.rows_test));
    object.insert("baselines".into(), json!(judged.baselines));
    object.insert("probability".into(), json!(judged.probability));
    Ok(Answer::done(Value::Object(object)))
}
