//! What the runs that are expected next will take and need, and whether they will be contended: all models on the same rows.
//!
//! Owns what is derived from the models ("needs more than it has", how sure, how old); the models say the rest.

use crate::LearnError;
use crate::frame::Frame;
use crate::parquet;
use crate::quantity::Prediction;
use crate::shadow::freshness;
use crate::{build_time, contention, demand, services};
use domain::Timestamp;
use domain::columns::expected as e;
use domain::columns::predicted::{COLUMNS, Kind};
use domain::columns::runs as col;
use domain::model::Card;
use domain::time::{DAY, HOUR};
use polars::prelude::{Column, NamedFrom, Series};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// A model that serves.
#[derive(Clone, Copy)]
pub struct Serving<'a> {
    /// What it says about itself.
    pub card: &'a Card,
    /// Its bytes.
    pub model: &'a [u8],
}

/// Who is asked; at least one.
#[derive(Clone, Copy, Default)]
pub struct Models<'a> {
    /// How long.
    pub build_time: Option<Serving<'a>>,
    /// How much CPU and memory.
    pub demand: Option<Serving<'a>>,
    /// Whether it will be contended.
    pub contention: Option<Serving<'a>>,
    /// Which services and packages.
    pub services: Option<Serving<'a>>,
}

/// What to predict, from what.
#[derive(Clone, Copy)]
pub struct NextRunsSpec<'a> {
    /// The moment of the prediction: nothing later is read.
    pub now: Timestamp,
    /// Runs on a main branch expected later than this after `now` are left out, µs.
    pub horizon: i64,
    /// Longer runs exceed the threshold, ms.
    pub threshold_ms: i64,
    /// `features.runs`.
    pub runs: &'a Path,
    /// `features.expected_runs`.
    pub expected: &'a Path,
    /// `features.contention` and `features.expected_contention`.
    pub contention: [&'a Path; 2],
    /// `features.services`.
    pub services: &'a Path,
}

/// What was predicted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NextRunsSummary {
    /// Rows written.
    pub rows: usize,
    /// Open pull requests among them.
    pub pull_requests: usize,
    /// Runs expected on main branches.
    pub on_main_branches: usize,
    /// Rows whose p90 lies above the threshold.
    pub exceed_threshold: usize,
    /// Rows that need more CPU than they may use.
    pub need_more_cpu: usize,
    /// Rows that need more memory than they may use.
    pub need_more_memory: usize,
    /// Rows that are more likely than not to be contended.
    pub contended: usize,
    /// Rows of which some service or package is likely needed.
    pub with_needs: usize,
    /// Models and versions.
    pub model: String,
    /// Whether one of them is older than its data.
    pub stale: bool,
    /// The end of the newest run that was known.
    pub data_watermark: Timestamp,
}

/// Services and packages named of one run, at most.
const NEEDS: usize = 20;
const MIB: f64 = (1 << 20) as f64;

/// A column of the answer, before it is written.
enum Values {
    Text(Vec<Option<String>>),
    Time(Vec<Option<Timestamp>>),
    Number(Vec<Option<f64>>),
    Flag(Vec<Option<bool>>),
}

/// The columns of the answer by name.
#[derive(Default)]
struct Columns(HashMap<String, Values>);

impl Columns {
    fn texts(&mut self, name: &str, values: Vec<Option<String>>) {
        self.0.insert(name.to_owned(), Values::Text(values));
    }

    fn times(&mut self, name: &str, values: Vec<Option<Timestamp>>) {
        self.0.insert(name.to_owned(), Values::Time(values));
    }

    fn numbers(&mut self, name: &str, values: Vec<Option<f64>>) {
        self.0.insert(name.to_owned(), Values::Number(values));
    }

    fn flags(&mut self, name: &str, values: Vec<Option<bool>>) {
        self.0.insert(name.to_owned(), Values::Flag(values));
    }

    /// `p50_NAME`, `p90_NAME` and `p99_NAME`.
    fn levels(&mut self, name: &str, values: [Vec<Option<f64>>; 3]) {
        for (level, values) in ["p50", "p90", "p99"].into_iter().zip(values) {
            self.numbers(&format!("{level}_{name}"), values);
        }
    }

    /// Those of [`COLUMNS`], in their order; one that was not made is an error of the file.
    fn in_order(mut self, out: &Path) -> Result<Vec<Column>, LearnError> {
        let made = |(name, kind): &(&str, Kind)| match self.0.remove(*name) {
            Some(values) => Ok(column(name, *kind, values)),
            None => Err(LearnError::Column { path: out.to_owned(), column: (*name).to_owned() }),
        };
        COLUMNS.iter().map(made).collect()
    }
}

/// Writes one row per run that is expected, in the columns of [`COLUMNS`].
///
/// # Errors
/// A model that cannot be read; unreadable or incomplete files; no model at all.
pub fn predict(spec: &NextRunsSpec, models: &Models, out: &Path) -> Result<NextRunsSummary, LearnError> {
    let frame = Frame::read(spec.expected)?;
    let newest = Frame::read(spec.runs)?.times(col::ENDED_AT)?.into_iter().flatten().max().unwrap_or_default();
    let at = frame.times(e::EXPECTED_AT)?;
    let soon = |i: &usize| at[*i].is_none_or(|at| at <= spec.now.plus(spec.horizon));
    let rows: Vec<usize> = (0..frame.rows()).filter(soon).collect();
    let text = |name: &str| -> Result<Vec<Option<String>>, LearnError> {
        let all = frame.texts(name)?;
        Ok(rows.iter().map(|&i| all[i].clone()).collect())
    };
    let number = |name: &str| -> Result<Vec<Option<f64>>, LearnError> {
        let all = frame.numbers(name)?;
        Ok(rows.iter().map(|&i| Some(all[i]).filter(|v| !v.is_nan())).collect())
    };
    let ids = text(col::RUN_ID)?;
    // What is said of each row, by one model.
    let of = |said: Vec<Prediction>| -> Vec<Option<Prediction>> {
        let mut said: HashMap<String, Prediction> = said.into_iter().map(|p| (p.run_id.clone(), p)).collect();
        ids.iter().map(|id| said.remove(id.as_deref()?)).collect()
    };
    let nothing = || vec![None; ids.len()];
    let duration = match models.build_time {
        Some(one) => of(build_time::expected(one.model, spec.runs, spec.expected, spec.now)?),
        None => nothing(),
    };
    let [cpu, memory] = match models.demand {
        Some(one) => demand::expected(one.model, spec.runs, spec.expected, spec.now)?.map(of),
        None => [nothing(), nothing()],
    };
    let mut contended: HashMap<String, contention::Prediction> = HashMap::new();
    if let Some(one) = models.contention {
        let said = contention::expected(one.model, spec.contention[0], spec.contention[1], spec.now)?;
        contended.extend(said.into_iter().map(|p| (p.unit_id.clone(), p)));
    }
    let contended: Vec<Option<contention::Prediction>> =
        ids.iter().map(|id| contended.get(id.as_deref()?).cloned()).collect();

    let needs = match models.services {
        Some(one) => services::expected(one.model, spec.services, spec.expected, spec.now, NEEDS)?,
        None => BTreeMap::new(),
    };
    let things = |id: &Option<String>| -> Option<Vec<&str>> {
        Some(needs.get(id.as_ref()?)?.iter().map(|need| need.thing.as_str()).collect())
    };
    let needs: Vec<Option<Vec<&str>>> = ids.iter().map(things).collect();

    let serving = [models.build_time, models.demand, models.contention, models.services];
    let serving: Vec<&Card> = serving.into_iter().flatten().map(|one| one.card).collect();
    let Some(watermark) = serving.iter().map(|card| card.data_watermark).min() else {
        return Err(LearnError::TooLittleData("no model was trained yet".into()));
    };
    let stale = serving.iter().any(|card| card.is_stale(newest));
    let model = serving.iter().map(|card| format!("{} {}", card.model, card.version)).collect::<Vec<_>>().join(", ");
    let (cpu_limit, memory_limit) = (number("cpu_limit_cores")?, number("memory_limit_bytes")?);
    let levels = |of: &[Option<Prediction>], scale: f64| -> [Vec<Option<f64>>; 3] {
        let level = |which: fn(&Prediction) -> f64| of.iter().map(|p| p.as_ref().map(|p| which(p) * scale)).collect();
        [level(|p| p.p50), level(|p| p.p90), level(|p| p.p99)]
    };
    let (times, cpus, peaks) = (levels(&duration, 1e3), levels(&cpu, 1e3), levels(&memory, MIB));
    let more = |need: &[Option<f64>], have: &dyn Fn(usize) -> Option<f64>| -> Vec<Option<bool>> {
        need.iter().enumerate().map(|(i, need)| Some((*need)? > have(i)?)).collect()
    };
    let exceeds = more(&times[1], &|_| Some(spec.threshold_ms as f64));
    let more_cpu = more(&cpus[1], &|i| Some(cpu_limit[i]? * times[0][i]?));
    let more_memory = more(&peaks[1], &|i| memory_limit[i]);
    let (coverage, confidence) = match models.build_time {
        Some(one) => confidence(one.card, spec.now, newest),
        None => (None, None),
    };

    let ids: Vec<String> = ids.into_iter().map(Option::unwrap_or_default).collect();
    let repeat = |value: Option<f64>| vec![value; ids.len()];
    let (pr_ids, reasons) = (text(e::PR_ID)?, text(e::REASON)?);
    let count = |flags: &[Option<bool>]| flags.iter().filter(|flag| **flag == Some(true)).count();
    let summary = NextRunsSummary {
        rows: ids.len(),
        pull_requests: pr_ids.iter().flatten().collect::<BTreeSet<_>>().len(),
        on_main_branches: pr_ids.iter().filter(|pr| pr.is_none()).count(),
        exceed_threshold: count(&exceeds),
        need_more_cpu: count(&more_cpu),
        need_more_memory: count(&more_memory),
        contended: contended.iter().flatten().filter(|p| p.probability >= 0.5).count(),
        with_needs: needs.iter().flatten().filter(|needs| !needs.is_empty()).count(),
        model: model.clone(),
        stale,
        data_watermark: newest,
    };
    let day = spec.now.date();
    let age_days = spec.now.0.saturating_sub(watermark.0) as f64 / DAY as f64;
    let duration_of = |of: &dyn Fn(&Prediction) -> Option<f64>| duration.iter().map(|p| of(p.as_ref()?)).collect();
    let causes = contended.iter().map(|p| p.as_ref().map(|p| p.cause.name().to_owned()));
    let needs = needs.iter().map(|needs| needs.as_ref().map(|needs| json!(needs).to_string()));
    let mut columns = Columns::default();
    columns.texts("prediction_id", ids.iter().map(|id| Some(format!("{day} {id}"))).collect());
    columns.times("predicted_at", vec![Some(spec.now); ids.len()]);
    columns.times("expected_at", rows.iter().map(|&i| at[i]).collect());
    columns.texts("reason", reasons);
    columns.texts("pr_id", pr_ids);
    columns.texts("repo", text(col::REPO)?);
    columns.texts("job_key", text(col::JOB_KEY)?);
    columns.texts("branch", text(col::BRANCH)?);
    columns.texts("resource", text(e::RESOURCE)?);
    columns.numbers("job_runs", duration_of(&|p| Some(p.job_runs as f64)));
    columns.numbers("usual_duration_ms", duration_of(&|p| p.usual.map(|usual| usual * 1e3)));
    columns.levels("duration_ms", times);
    columns.levels("cpu_ms", cpus);
    columns.levels("memory_peak_bytes", peaks);
    columns.numbers("cpu_limit_cores", cpu_limit);
    columns.numbers("memory_limit_bytes", memory_limit);
    // The second is the former name of the first, kept for one version.
    for name in ["contended_probability", "held_up_probability"] {
        columns.numbers(name, contended.iter().map(|p| p.as_ref().map(|p| p.probability)).collect());
    }
    columns.texts("likely_cause", causes.collect());
    columns.texts("likely_needs", needs.collect());
    columns.numbers("threshold_ms", repeat(Some(spec.threshold_ms as f64)));
    columns.flags("exceeds_threshold", exceeds);
    columns.flags("needs_more_cpu", more_cpu);
    columns.flags("needs_more_memory", more_memory);
    columns.numbers("coverage90", repeat(coverage));
    columns.numbers("confidence_score", repeat(confidence));
    columns.texts("model", vec![Some(model); ids.len()]);
    columns.times("model_watermark", vec![Some(watermark); ids.len()]);
    columns.numbers("model_age_days", repeat(Some(age_days)));
    columns.flags("stale", vec![Some(stale); ids.len()]);
    columns.times("data_watermark", vec![Some(newest); ids.len()]);
    parquet::write(out, columns.in_order(out)?)?;
    Ok(summary)
}

/// Measured coverage of p90, and how sure: coverage over what is stated, skill over the best naive predictor, and the age of
/// the data, as the shadow inventory counts them.
fn confidence(card: &Card, now: Timestamp, newest: Timestamp) -> (Option<f64>, Option<f64>) {
    let Some(coverage) = card.coverage.get("0.9").copied() else { return (None, None) };
    let skill = (1.0 - card.verdict.ours / card.verdict.best_baseline).clamp(0.0, 1.0);
    let skill = if skill.is_nan() { 0.0 } else { skill };
    let fresh = freshness(now, newest.0.div_euclid(HOUR));
    (Some(coverage), Some((coverage / 0.9).min(1.0) * (1.0 + skill) / 2.0 * fresh))
}

fn column(name: &str, kind: Kind, values: Values) -> Column {
    match values {
        Values::Text(values) => Series::new(name.into(), values).into(),
        Values::Flag(values) => Series::new(name.into(), values).into(),
        Values::Time(values) => {
            parquet::optional_time_column(name, values.iter().map(|at| at.map(|at| at.0)).collect())
        }
        // Whole milliseconds and bytes; what overflows was never a prediction.
        Values::Number(values) if kind == Kind::Count => {
            let whole = values.iter().map(|v| v.filter(|v| v.is_finite()).map(|v| v.round() as i64));
            Series::new(name.into(), whole.collect::<Vec<_>>()).into()
        }
        Values::Number(values) => Series::new(name.into(), values).into(),
    }
}
