//! `evaluate`: how good the kept models are on later data, or how good a model trained anew is on a held-out tail.

use crate::artifacts::champion;
use crate::commands::train::spec;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::learner::{self, Per};
use crate::model_card::{coverage, show_reliability, table};
use crate::scratch::scratch;
use crate::values::share;
use clap::Args;
use domain::model::{Card, Judged};
use lake::Session;
use learn::card::{Evaluation, TrainSpec};
use learn::drift::judge;
use learn::model::Model;
use learn::{LearnError, build_time};
use serde_json::{Map, Value, json};
use std::ops::Bound::Excluded;
use std::time::Instant;

/// The arguments of `evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline evaluate
  pipeline evaluate build-time --holdout 20% --per repo --gate")]
pub struct EvaluateArgs {
    /// Use only these models
    #[arg(value_name = "MODEL", value_parser = learner::parse)]
    models: Vec<&'static dyn Model>,
    /// Use runs that began since this time: 30d, 8w, a date
    #[arg(long, value_name = "SPAN")]
    since: Option<String>,
    /// Hold out the last share of the runs, train on the other runs, and score the held-out runs: 20%
    #[arg(long, value_name = "SHARE", requires = "per")]
    #[arg(value_parser = share((Excluded(0.0), Excluded(1.0)), "write it as 20%"))]
    holdout: Option<f64>,
    /// Hold out the last runs of each repository, or (services model) whole projects
    #[arg(long, value_enum, requires = "holdout")]
    per: Option<Per>,
    /// Exit with 3 if coverage misses its target by significantly more than three points
    #[arg(long)]
    gate: bool,
}

/// Shows figures beside those of the baselines.
pub async fn run(context: &Context, args: EvaluateArgs) -> Result<Answer, Failure> {
    let since = context.since(args.since.as_deref())?;
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    let folder = scratch()?;
    let spec = spec(&session, since, context.now, 7);
    if let Some(share) = args.holdout {
        return holdout(context, &args, share, &session, &spec).await;
    }
    let (mut found, mut last, mut missed) = (Map::new(), None, false);
    for learner in learner::chosen(&args.models) {
        let name = learner.name();
        let Some(kept) = champion(&lake, name, context.now).await? else { continue };
        let rows = folder.path().join(format!("{name}.parquet"));
        session.export(learner.view(), &rows).await?;
        let task = context.progress.task(&format!("evaluate {name}"));
        let later = kept.card.data_watermark;
        let scored = learner.evaluate(&kept.model, &rows, &spec, later);
        drop(task);
        let features = learner.drift(&kept.card, &rows, &spec, later)?;
        let drift = judge(&kept.card, scored.as_ref().ok(), features, kept.stale);
        // Without later data, what was held out when it was trained is the best there is.
        let (scored, basis) = match scored {
            Ok(scored) => (scored, format!("rows later than {later}")),
            Err(LearnError::TooLittleData(why)) => {
                last = Some(why);
                let Card { metrics, baselines, rows_test: rows, judged, probability, .. } = kept.card.clone();
                let Judged { coverage, gate, .. } = judged;
                let reliability = probability.map(|p| p.reliability).unwrap_or_default();
                let scored =
                    Evaluation { metrics, baselines, rows, coverage, gate, reliability, ..Evaluation::default() };
                (scored, "rows held out when it was trained; no later ones yet".into())
            }
            Err(error) => return Err(error.into()),
        };
        context.say_wrapped("", &format!("{name} {} · {} {basis}", kept.card.version, scored.rows), 2);
        show(context, &scored);
        if !scored.reliability.is_empty() {
            show_reliability(context, &scored.reliability);
        }
        context.say(format!("  retrain: {}", if drift.retrain { "yes" } else { "no" }));
        drift.why.iter().for_each(|why| context.say_wrapped("    ", why, 4));
        missed |= !scored.gate.passed();
        found.insert(
            name.to_owned(),
            json!({"version": kept.card.version, "rows": scored.rows, "basis": basis, "metrics": scored.metrics,
                "baselines": scored.baselines, "coverage": scored.coverage, "gate": scored.gate,
                "reliability": scored.reliability, "drift": drift}),
        );
    }
    if found.is_empty() {
        let why = last.map_or_else(String::new, |why| format!(": {why}"));
        return Err(
            Failure::new(Exit::Inconclusive, format!("no model was trained yet{why}")).hint("`pipeline train` first")
        );
    }
    let retrain: Vec<&str> =
        found.iter().filter(|(_, model)| model["drift"]["retrain"] == true).map(|(name, _)| name.as_str()).collect();
    let retrain = if retrain.is_empty() { "none".to_owned() } else { retrain.join(", ") };
    let brief = format!("{} models measured; to retrain: {retrain}", found.len());
    Ok(Answer::new(exit(args.gate && missed), Value::Object(found)).brief(brief))
}

/// Trains anew on the first part of each repository's runs and scores the rest; nothing is kept.
async fn holdout(
    context: &Context,
    args: &EvaluateArgs,
    share: f64,
    session: &Session,
    spec: &TrainSpec,
) -> Result<Answer, Failure> {
    let usage = |what: &str| {
        Failure::new(Exit::Usage, what).hint("`pipeline evaluate build-time --holdout 20% --per repo`, or demand")
    };
    let learner = match args.models[..] {
        [] => build_time::MODEL,
        [learner] => learner,
        _ => return Err(usage("--holdout is for one model at a time")),
    };
    let folder = scratch()?;
    let rows = folder.path().join("runs.parquet");
    session.export(learner.view(), &rows).await?;
    let name = learner.name();
    let task = context.progress.task(&format!("evaluate {name}"));
    let began = Instant::now();
    let (evaluation, n_train) = match args.per {
        Some(Per::Project) => learner.holdout_projects(&rows, spec, share)?,
        _ => learner.holdout(&rows, spec, share)?,
    };
    let seconds = began.elapsed().as_secs_f64();
    drop(task);
    context.say(format!("{name} · {n_train} runs trained, {} held out", evaluation.rows));
    show(context, &evaluation);
    let mut object: Map<String, Value> = evaluation.metrics.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    object.insert("n_train".into(), json!(n_train));
    object.insert("n_test".into(), json!(evaluation.rows));
    // Reading, features, training and scoring, without the query that makes the rows.
    object.insert("seconds".into(), json!(seconds));
    object.insert("baselines".into(), json!(evaluation.baselines));
    object.insert("coverage".into(), json!(evaluation.coverage));
    object.insert("gate".into(), json!(evaluation.gate));
    Ok(Answer::new(exit(args.gate && !evaluation.gate.passed()), Value::Object(object)))
}

fn exit(missed: bool) -> Exit {
    if missed { Exit::Findings } else { Exit::Done }
}

fn show(context: &Context, evaluation: &Evaluation) {
    table(context, &evaluation.metrics, &evaluation.baselines);
    coverage(context, &evaluation.coverage);
    for missed in &evaluation.gate.missed {
        context.say(format!("  off: {missed}"));
    }
}
