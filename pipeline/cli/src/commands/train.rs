//! `train`: models from the lake, compared with what is simpler, kept when better.

use crate::artifacts::{champion, keep_model};
use crate::commands::own_table::{self, OwnTableArgs};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::learner;
use crate::model_card::show;
use crate::scratch::scratch;
use clap::Args;
use domain::Timestamp;
use domain::model::{Card, Champion, Verdict};
use lake::Session;

use learn::card::{TrainSpec, Trained, better};
use learn::model::Model;
use learn::{LearnError, contention};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// The arguments of `train`.
#[derive(Debug, Args)]
#[command(after_help = "\
The best candidate on held-out time is kept; candidates include the baselines.
Exits with 3 if the coverage of a model misses its target by significantly more
than three points, or if a prediction is not finite. In these cases the new
model is not used, and the current champion stays in use.

Examples:
  pipeline train --since 30d
  pipeline train build-time --until 2026-10-01T00:00:00Z --seed 7")]
pub struct TrainArgs {
    /// Use only these models
    #[arg(value_name = "MODEL", value_parser = learner::parse)]
    models: Vec<&'static dyn Model>,
    /// Use runs that began since this time: 30d, 8w, a date [default: all history]
    #[arg(long, value_name = "SPAN")]
    since: Option<String>,
    /// Use no data that became known after this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Random seed; the same data and seed give the same model
    #[arg(long, default_value_t = 7)]
    seed: u64,
    #[command(flatten)]
    own: OwnTableArgs,
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "write it as 2026-10-01T00:00:00Z".to_owned())
}

/// A training spec over one session: its table versions go into the card.
pub fn spec(session: &Session, since: Option<Timestamp>, until: Timestamp, seed: u64) -> TrainSpec {
    TrainSpec { since, until, seed, tables: session.versions.clone() }
}

/// Trains what was asked: from a table of one's own, or from the lake.
pub async fn run(context: &Context, args: TrainArgs) -> Result<Answer, Failure> {
    match args.own.features {
        Some(_) if !matches!(args.models[..], [model] if model.name() == contention::NAME) => {
            Err(Failure::new(Exit::Usage, "--features is for the contention model alone")
                .hint("`pipeline train contention --features F.parquet --label COLUMN --split COLUMN`"))
        }
        Some(_) => own_table::run(context, args.own, args.seed),
        None => from_lake(context, args).await,
    }
}

/// Trains what was asked from the lake. A model without enough data is told and left; when none has enough, that is the answer.
async fn from_lake(context: &Context, args: TrainArgs) -> Result<Answer, Failure> {
    let since = context.since(args.since.as_deref())?;
    let until = args.until.unwrap_or(context.now).min(context.now);
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    let folder = scratch()?;
    let (mut cards, mut skipped, mut not_kept) = (Vec::new(), Vec::new(), false);
    for learner in learner::chosen(&args.models) {
        let name = learner.name();
        let mut task = context.progress.task(&format!("train {name}"));
        task.at("features");
        let rows = folder.path().join(format!("{name}.parquet"));
        session.export(learner.view(), &rows).await?;
        task.at("fitting");
        let spec = spec(&session, since, until, args.seed);
        match learner.train(&rows, &spec) {
            Ok(mut trained) => {
                let previous = champion(&lake, name, context.now).await?;
                let previous = previous.as_ref().map(|k| (&k.card, &k.model));
                trained.card.champion = contest(learner, &trained, previous, &rows, spec.tables.clone())?;
                keep_model(&lake, &mut trained).await?;
                drop(task);
                show(context, &trained.card);
                cards.push(trained.card);
            }
            Err(LearnError::TooLittleData(why)) => {
                drop(task);
                context.say(format!("{name}: not trained, too little data: {why}"));
                skipped.push(json!({"model": name, "why": why}));
            }
            // The others are trained: one that went wrong must not stop a night.
            Err(LearnError::NotKept { reason, .. }) => {
                drop(task);
                context.say(format!("{name}: not kept: {reason}; see what `pipeline check` says of the data"));
                skipped.push(json!({"model": name, "why": reason}));
                not_kept = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if cards.is_empty() && !not_kept {
        let why: Vec<String> = skipped.iter().map(|s| format!("{}: {}", s["model"], s["why"])).collect();
        return Err(Failure::new(
            Exit::Inconclusive,
            format!("too little data to train on ({})", why.join("; ").replace('"', "")),
        )
        .hint("ingest more events, or widen the window with a longer --since"));
    }
    let missed = not_kept || cards.iter().any(|card| !card.judged.gate.passed());
    let exit = if missed { Exit::Findings } else { Exit::Done };
    let brief = cards.iter().map(|card| {
        let Verdict { figure, ours, baseline, best_baseline, .. } = &card.verdict;
        format!("{} {figure} {ours:.4} ({baseline} {best_baseline:.4})", card.model)
    });
    let skipped_names = skipped.iter().filter_map(|s| s["model"].as_str()).map(|name| format!("{name} not trained"));
    let brief: Vec<String> = brief.chain(skipped_names).collect();
    Ok(Answer::new(exit, json!({"models": cards, "skipped": skipped})).brief(brief.join("; ")))
}

/// Champion against challenger, on the rows that neither has learnt from. The challenger is the best of its candidates,
/// baselines included, so without a champion it serves. One whose coverage is off serves never.
fn contest(
    learner: &dyn Model,
    trained: &Trained,
    previous: Option<(&Card, &Vec<u8>)>,
    rows: &Path,
    tables: BTreeMap<String, i64>,
) -> Result<Champion, Failure> {
    let new = &trained.card;
    let version = previous.map(|(old, _)| old.version.clone());
    let answer = |is_champion, why: String| Ok(Champion { is_champion, previous: version.clone(), why });
    if !new.judged.gate.passed() {
        return answer(false, format!("coverage is off: {}", new.judged.gate.missed.join("; ")));
    }
    let Some((old, model)) = previous else {
        let why: Vec<&str> = new.judged.serves.iter().map(|serves| serves.why.as_str()).collect();
        return answer(true, why.join("; "));
    };
    if new.data_watermark < old.data_watermark {
        return answer(false, "the model in use has seen newer data".into());
    }
    let later = new.train_until.max(old.data_watermark);
    let spec = TrainSpec { since: None, until: new.data_watermark, seed: new.seed, tables };
    match learner.evaluate(model, rows, &spec, later) {
        Ok(old) => {
            let (is_champion, why) = better(trained, Some(&old));
            answer(is_champion, why)
        }
        // Most nights: the model in use has seen all but a day, and then newer data decides.
        Err(LearnError::TooLittleData(_)) => {
            answer(true, "it has seen newer data; too few rows are new to both".into())
        }
        Err(LearnError::Model { reason, .. }) => answer(true, format!("the model in use cannot be read: {reason}")),
        Err(error) => Err(error.into()),
    }
}
