//! `evaluate`: how good the kept models are on later data, or how good a model trained anew is on a held-out tail.

use crate::artifacts::champion;
use crate::commands::own_table::show_reliability;
use crate::commands::train::{scratch, spec, table};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::learner::Learner;
use clap::Args;
use learn::LearnError;
use learn::build_time;
use serde_json::{Map, Value, json};

/// What `evaluate` takes.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Only these models
    #[arg(value_name = "MODEL", value_parser = Learner::parse)]
    models: Vec<Learner>,
    /// Take what began since
    #[arg(long, value_name = "SPAN")]
    since: Option<String>,
    /// Train anew on all but the last part of the runs, and score that part: 20%
    #[arg(long, value_name = "SHARE", requires = "per", value_parser = parse_share)]
    holdout: Option<f64>,
    /// Hold out the tail of each
    #[arg(long, value_parser = ["repo"], requires = "holdout")]
    per: Option<String>,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.strip_suffix('%').and_then(|t| t.trim().parse::<f64>().ok()).map(|p| p / 100.0);
    share.filter(|s| *s > 0.0 && *s < 1.0).ok_or_else(|| "write it as 20%".to_owned())
}

/// Shows figures beside those of the baselines.
pub async fn run(context: &Context, args: EvaluateArgs) -> Result<Answer, Failure> {
    let since = context.since(args.since.as_deref())?;
    let lake = context.lake().await?;
    let session = lake.session(context.now).await?;
    let folder = scratch()?;
    let spec = spec(&session, since, context.now, 7);
    if let Some(share) = args.holdout {
        if args.models.contains(&Learner::Contention) {
            return Err(Failure::new(Exit::Usage, "--holdout is for build-time alone")
                .hint("`pipeline evaluate build-time --holdout 20% --per repo`"));
        }
        let rows = folder.path().join("runs.parquet");
        session.export("runs", &rows).await?;
        let task = context.progress.task("evaluate build-time");
        let (evaluation, n_train) = build_time::holdout(&rows, &spec, share)?;
        drop(task);
        context.say(format!("build-time · {n_train} runs trained, {} held out", evaluation.rows));
        table(context, &evaluation.metrics, &evaluation.baselines);
        let mut object: Map<String, Value> = evaluation.metrics.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        object.insert("n_train".into(), json!(n_train));
        object.insert("n_test".into(), json!(evaluation.rows));
        object.insert("baselines".into(), json!(evaluation.baselines));
        return Ok(Answer::done(Value::Object(object)));
    }
    let (mut found, mut last) = (Map::new(), None);
    for learner in Learner::chosen(&args.models) {
        let name = learner.name();
        let Some(kept) = champion(&lake, name, context.now).await? else { continue };
        let rows = folder.path().join(format!("{name}.parquet"));
        session.export(learner.view(), &rows).await?;
        let task = context.progress.task(&format!("evaluate {name}"));
        let later = kept.card.data_watermark;
        let scored = learner.evaluate(&kept.model, &rows, &spec, later);
        drop(task);
        // Without later data, what was held out when it was trained is the best there is.
        let (metrics, baselines, rows, reliability, basis) = match scored {
            Ok(e) => (e.metrics, e.baselines, e.rows, e.reliability, format!("rows later than {later}")),
            Err(LearnError::TooLittleData(why)) => {
                last = Some(why);
                let card = kept.card.clone();
                (
                    card.metrics,
                    card.baselines,
                    card.rows_test,
                    card.probability.map(|p| p.reliability).unwrap_or_default(),
                    "rows held out when it was trained; no later ones yet".into(),
                )
            }
            Err(error) => return Err(error.into()),
        };
        context.say(format!("{name} {} · {rows} {basis}", kept.card.version));
        table(context, &metrics, &baselines);
        if !reliability.is_empty() {
            show_reliability(context, &reliability);
        }
        found.insert(
            name.to_owned(),
            json!({
                "version": kept.card.version, "rows": rows, "basis": basis, "metrics": metrics, "baselines": baselines,
                "reliability": reliability,
            }),
        );
    }
    if found.is_empty() {
        let why = last.map_or_else(String::new, |why| format!(": {why}"));
        return Err(
            Failure::new(Exit::Inconclusive, format!("no model was trained yet{why}")).hint("`pipeline train` first")
        );
    }
    Ok(Answer::done(Value::Object(found)))
}
