//! The future of every series of a file.

use super::rows::{Clock, Keyed, Regular, read, regular};
use super::{FORECAST_COLUMNS, SeriesSpec, quantile_column};
use crate::LearnError;
use crate::forecast::{LAST_VALUE, LEAST, Outlook, Past, Spec, outlooks};
use crate::parquet::write;
use polars::prelude::{Column, NamedFrom, Series};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What is wanted of the series.
#[derive(Clone, Debug)]
pub struct ForecastSpec {
    /// The file and its columns.
    pub series: SeriesSpec,
    /// Steps after which a pattern may repeat; none: no season.
    pub periods: Vec<usize>,
    /// Steps to forecast.
    pub horizon: usize,
    /// Steps without a value that are filled on a straight line, at most, one after the other.
    pub fill_gaps: usize,
    /// Probabilities whose quantiles are written too, between 0 and 1, in order, none twice.
    pub quantiles: Vec<f64>,
}

/// What was forecast, and how well the same would have done before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ForecastSummary {
    /// Series in the file.
    pub series: usize,
    /// Rows written.
    pub rows: usize,
    /// Series by the model with the largest weight.
    pub models: BTreeMap<String, usize>,
    /// Mean error on rolling origins, in the unit of MASE; none where no series is long enough to measure.
    pub mase: Option<f64>,
    /// The same of the best seasonal naive forecast.
    pub mase_seasonal_naive: Option<f64>,
    /// Share of the values of rolling origins inside their interval.
    pub coverage: Option<f64>,
    /// Series whose forecast was no better than repeating the last period.
    pub no_better_than_naive: usize,
}

/// The share of values that the intervals are meant to hold.
const COVERAGE: f64 = 0.9;

/// Forecasts every series of a file into another: one row a series and step, in order of both.
///
/// # Errors
/// [`LearnError::Series`] for columns and rows that make no series, [`LearnError::TooLittleData`] for a series too short
/// to try anything on; a file that cannot be read or written.
pub fn forecast(
    spec: &ForecastSpec,
    out: &Path,
    tick: &(dyn Fn(usize, usize) + Sync),
) -> Result<ForecastSummary, LearnError> {
    let (clock, all) = read(&spec.series)?;
    let parts = all.iter().map(|keyed| regular(keyed, clock, spec.fill_gaps)).collect::<Result<Vec<Regular>, _>>()?;
    if let Some((keyed, part)) = all.iter().zip(&parts).find(|(_, part)| part.values.len() < LEAST) {
        let (key, n) = (&keyed.key, part.values.len());
        return Err(LearnError::TooLittleData(format!(
            "series {key} has {n} values, {LEAST} are needed to try a forecast on"
        )));
    }
    let (steps, lasts): (Vec<i64>, Vec<i64>) = parts.iter().map(|part| (part.step, part.last)).unzip();
    let past = |part: Regular| Past { values: part.values, skip: 0, steps: spec.horizon, kept: None };
    let pasts: Vec<Past> = parts.into_iter().map(past).collect();
    let wanted = Spec {
        periods: spec.periods.clone(),
        horizon: spec.horizon,
        coverage: COVERAGE,
        enough: LEAST,
        peak_steps: None,
        quantiles: spec.quantiles.clone(),
    };
    let done = std::sync::atomic::AtomicUsize::new(0);
    let count = |n: usize| tick(done.fetch_add(n, std::sync::atomic::Ordering::Relaxed) + n, pasts.len());
    let futures = outlooks(&pasts, &wanted, &count);
    let futures: Vec<Outlook> = futures.into_iter().flatten().collect();
    if futures.len() != all.len() {
        return Err(LearnError::TooLittleData("a series could not be continued by any model".to_owned()));
    }
    write(out, columns(&all, clock, &steps, &lasts, &futures, &spec.quantiles)?)?;
    Ok(summary(&futures, spec.horizon))
}

fn columns(
    all: &[Keyed],
    clock: Clock,
    steps: &[i64],
    lasts: &[i64],
    futures: &[Outlook],
    levels: &[f64],
) -> Result<Vec<Column>, LearnError> {
    let [key, at, value, lower, upper, model] = FORECAST_COLUMNS;
    let each = |future: &Outlook| future.centre.len();
    let keys: Vec<&str> =
        all.iter().zip(futures).flat_map(|(k, f)| std::iter::repeat_n(k.key.as_str(), each(f))).collect();
    let models: Vec<String> = futures.iter().flat_map(|f| std::iter::repeat_n(f.model(), each(f))).collect();
    let moment = |((step, last), future): ((&i64, &i64), &Outlook)| {
        let (step, last) = (*step, *last);
        (1..=each(future) as i64).map(move |i| last.saturating_add(step.saturating_mul(i)))
    };
    let moments = steps.iter().zip(lasts).zip(futures).flat_map(moment).collect();
    let numbers = |name: &str, of: &dyn Fn(&Outlook) -> &Vec<f64>| -> Column {
        let values: Vec<f64> = futures.iter().flat_map(|future| of(future).iter().copied()).collect();
        Series::new(name.into(), values).into()
    };
    let quantile = |(at, level): (usize, &f64)| numbers(&quantile_column(*level), &|f| &f.quantiles[at]);
    let mut columns = vec![
        Series::new(key.into(), keys).into(),
        clock.column(at, moments)?,
        numbers(value, &|f| &f.centre),
        numbers(lower, &|f| &f.lower),
        numbers(upper, &|f| &f.upper),
        Series::new(model.into(), models).into(),
    ];
    columns.extend(levels.iter().enumerate().map(quantile));
    Ok(columns)
}

fn summary(futures: &[Outlook], horizon: usize) -> ForecastSummary {
    let measured: Vec<_> = futures.iter().filter_map(|future| future.measured).collect();
    let mean = |of: fn(&crate::forecast::Measured) -> f64| {
        (!measured.is_empty()).then(|| measured.iter().map(of).sum::<f64>() / measured.len() as f64)
    };
    let mut models = BTreeMap::new();
    for future in futures {
        let first = future.models.first().cloned().unwrap_or_else(|| LAST_VALUE.to_owned());
        *models.entry(first).or_default() += 1;
    }
    ForecastSummary {
        series: futures.len(),
        rows: futures.len() * horizon,
        models,
        mase: mean(|m| m.mase),
        mase_seasonal_naive: mean(|m| m.mase_seasonal_naive),
        coverage: mean(|m| m.coverage),
        no_better_than_naive: measured.iter().filter(|m| m.skill() < 0.0).count(),
    }
}
