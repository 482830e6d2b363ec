//! What the resources of a plan used, hour by hour, what is expected of them, and what each policy would have done for them.

use super::Source;
use super::fleet::{Fleet, time};
use super::ledger::Standing;
use crate::failure::Failure;
use crate::scratch::scratch;
use domain::plan::{Item, Replay, State};
use domain::time::DAY;
use learn::LearnError;
use learn::backtest::Asked;
use learn::sizing::{DEFAULT_RISK, Policy};
use learn::usage::Usage;
use page::{Band, Block, Chart, Ink, Lines, Mark, Panel, Scale, Series, Shape, Table, Unit};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Resources with a chart and a replay of their own, 14 KB each: a page of 60 items stays below 1 MB.
pub const CHARTED: usize = 30;

/// Days on a chart: two weeks show what each weekday is like; the numbers behind it are of all days.
const CHART_DAYS: i64 = 14;

/// By resource.
#[derive(Default)]
pub struct Demand {
    hours: BTreeMap<String, Vec<Hour>>,
    expected: BTreeMap<String, Vec<Expected>>,
    replays: BTreeMap<String, BTreeMap<String, Replay>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    at: f64,
    used: (Option<f64>, Option<f64>),
    limit: (Option<f64>, Option<f64>),
    kills: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    at: f64,
    cpu: (Option<f64>, Option<f64>),
    memory: (Option<f64>, Option<f64>),
}

/// Asks the lake for what the plan's items need; without a plan, for what is worst.
pub async fn gather(source: &Source<'_>, fleet: &Fleet, plan: Option<&Standing>) -> Result<Demand, Failure> {
    let mut demand = Demand::default();
    if !source.has("marts.usage") {
        return Ok(demand);
    }
    let planned: BTreeSet<&str> = plan
        .into_iter()
        .flat_map(|standing| standing.plan.changes().chain(standing.plan.for_people()))
        .map(|item| item.resource.as_str())
        .filter(|name| source.resource.is_none_or(|only| only == *name))
        .take(CHARTED)
        .collect();
    let mut names: BTreeSet<&str> = planned.clone();
    names.extend(source.resource);
    if names.is_empty() {
        names.extend(fleet.worst_names().take(3));
    }
    let joined = names.iter().copied().collect::<Vec<_>>().join("\n");
    let since = source.since.to_string();
    let given = [("since", since.as_str()), ("names", joined.as_str())];
    for row in source.session.ask("report_hours", &given).await?.to_json()? {
        let number = |name: &str| row[name].as_f64();
        demand.hours.entry(text(&row, "resource")).or_default().push(Hour {
            at: time(&row["hour"]).unwrap_or_default().0 as f64,
            used: (number("cpu_cores_max"), number("memory_bytes")),
            limit: (number("cpu_limit_cores"), number("memory_limit_bytes")),
            kills: number("oom_kills").unwrap_or_default(),
        });
    }
    if source.has("predictions.shadow_inventory") {
        for row in source.session.ask("report_expected", &given[1..]).await?.to_json()? {
            let number = |name: &str| row[name].as_f64();
            demand.expected.entry(text(&row, "resource_id")).or_default().push(Expected {
                at: time(&row["at"]).unwrap_or_default().0 as f64,
                cpu: (number("cpu_low"), number("cpu_high")),
                memory: (number("memory_low"), number("memory_high")),
            });
        }
    }
    if !planned.is_empty() {
        demand.replays = replays(source, &planned).await?;
    }
    Ok(demand)
}

/// What each policy would have done for each resource, on the same rows.
async fn replays(
    source: &Source<'_>,
    names: &BTreeSet<&str>,
) -> Result<BTreeMap<String, BTreeMap<String, Replay>>, Failure> {
    let folder = scratch()?;
    let path = folder.path().join("usage.parquet");
    source.session.export("usage", &path).await?;
    let policies = [Policy::Ours, Policy::Vpa, Policy::Krr, Policy::CiSizerLike, Policy::Static];
    let usage = Usage::load(&path, source.context.now)?;
    let asked = Asked { since: Some(source.since), risk: DEFAULT_RISK, wanted: &|name| names.contains(name) };
    match usage.backtest(&policies, asked) {
        Ok(backtest) => Ok(backtest.by_resource),
        Err(LearnError::TooLittleData(_)) => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

fn text(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}

impl Demand {
    /// The resources that have hours.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hours.keys().map(String::as_str)
    }

    /// What a resource used beside its limits now and after, and what is expected of it.
    pub fn figure(&self, resource: &str, item: Option<&Item>) -> Option<Block> {
        let hours = self.hours.get(resource).filter(|hours| !hours.is_empty())?;
        let expected = self.expected.get(resource).map(Vec::as_slice).unwrap_or_default();
        let until = expected.last().map_or(f64::MIN, |last| last.at).max(hours.last().map_or(f64::MIN, |last| last.at));
        let all = hours;
        let first = hours.last().map_or(0.0, |last| last.at) - CHART_DAYS as f64 * DAY as f64;
        let hours = &hours[hours.partition_point(|hour| hour.at < first)..];
        let from = hours.first().map_or(0.0, |first| first.at);
        let bytes = |state: State| state.memory_bytes.map(|bytes| bytes as f64);
        let cpu = Measure {
            name: "CPU",
            unit: Unit::Cores,
            used: |hour| hour.used.0,
            limit: |hour| hour.limit.0,
            expected: |hour| hour.cpu,
            after: item
                .filter(|item| item.before.cpu_cores != item.after.cpu_cores)
                .and_then(|item| item.after.cpu_cores),
        };
        let memory = Measure {
            name: "Memory",
            unit: Unit::Bytes,
            used: |hour| hour.used.1,
            limit: |hour| hour.limit.1,
            expected: |hour| hour.memory,
            after: item
                .filter(|item| item.before.memory_bytes != item.after.memory_bytes)
                .and_then(|item| bytes(item.after)),
        };
        let kills: Vec<Mark> = hours
            .iter()
            .filter(|hour| hour.kills > 0.0)
            .map(|hour| Mark { at: hour.at, name: "killed for memory".into() })
            .collect();
        let mut panels = vec![cpu.panel(hours, expected, (from, until)), memory.panel(hours, expected, (from, until))];
        panels[1].marks = kills;
        panels.retain(|panel| panel.series.iter().any(|series| series.points.iter().any(|(_, y)| y.is_some())));
        if panels.is_empty() {
            return None;
        }
        let killed: f64 = all.iter().map(|hour| hour.kills).sum();
        let caption = format!(
            "{resource}: the largest use of each hour of the last {CHART_DAYS} days beside its limit{}{}{}.",
            if item.is_some_and(|item| item.before != item.after) { ", now and after the plan" } else { "" },
            if expected.is_empty() { "" } else { "; the band is what the next hours are expected to take" },
            match killed {
                0.0 => String::new(),
                killed => format!("; {} kills for memory in all the days shown", Unit::Plain.format(killed)),
            }
        );
        Some(Block::figure(caption, Chart::Lines(Lines { scale: Scale::Time, panels }), by_day(all)))
    }

    /// What each policy would have done for a resource.
    pub fn replay(&self, resource: &str) -> Option<Block> {
        let replays = self.replays.get(resource).filter(|replays| !replays.is_empty())?;
        Some(Block::Table(policies("Each policy on the same days of this resource", replays)))
    }
}

/// CPU or memory of an hour.
struct Measure {
    name: &'static str,
    unit: Unit,
    used: fn(&Hour) -> Option<f64>,
    limit: fn(&Hour) -> Option<f64>,
    expected: fn(&Expected) -> (Option<f64>, Option<f64>),
    after: Option<f64>,
}

impl Measure {
    fn panel(&self, hours: &[Hour], expected: &[Expected], ends: (f64, f64)) -> Panel {
        let points = |of: fn(&Hour) -> Option<f64>| hours.iter().map(|hour| (hour.at, of(hour))).collect::<Vec<_>>();
        let mut sorted: Vec<f64> = hours.iter().filter_map(self.used).collect();
        sorted.sort_by(f64::total_cmp);
        let p95 = (!sorted.is_empty()).then(|| sorted[((sorted.len() as f64 * 0.95) as usize).min(sorted.len() - 1)]);
        let limit = points(self.limit);
        let mut series = vec![
            Series { name: "used".into(), ink: Ink::Blue, shape: Shape::Line, points: points(self.used) },
            Series::level(
                "p95 of the hours",
                Ink::Grey,
                Shape::Dashed,
                (ends.0, hours.last().map_or(ends.1, |h| h.at)),
                p95,
            ),
            Series { name: "limit".into(), ink: Ink::Dark, shape: Shape::Step, points: limit },
        ];
        series.push(Series::level("after the plan", Ink::Green, Shape::Dashed, ends, self.after));
        series.retain(|series| series.points.iter().any(|(_, y)| y.is_some()));
        let band = expected.iter().filter_map(|hour| {
            let (low, high) = (self.expected)(hour);
            Some((hour.at, low?, high?))
        });
        let band = Band { name: "expected".into(), points: band.collect() };
        Panel { name: self.name.into(), unit: self.unit, series, band: Some(band), marks: Vec::new() }
    }
}

/// The numbers behind the chart, a day a row.
fn by_day(hours: &[Hour]) -> Table {
    let mut days: BTreeMap<i64, Vec<&Hour>> = BTreeMap::new();
    for hour in hours {
        days.entry((hour.at as i64).div_euclid(DAY)).or_default().push(hour);
    }
    let most = |hours: &[&Hour], of: fn(&Hour) -> Option<f64>| hours.iter().filter_map(|it| of(it)).reduce(f64::max);
    Table::of("Peaks and limits by day", days)
        .text("day", |(day, _)| domain::Timestamp(day * DAY).date())
        .amount("CPU peak (cores)", Unit::Cores, |(_, hours)| most(hours, |hour| hour.used.0))
        .amount("CPU limit (cores)", Unit::Cores, |(_, hours)| most(hours, |hour| hour.limit.0))
        .amount("memory peak", Unit::Bytes, |(_, hours)| most(hours, |hour| hour.used.1))
        .amount("memory limit", Unit::Bytes, |(_, hours)| most(hours, |hour| hour.limit.1))
        .amount("kills", Unit::Plain, |(_, hours)| Some(hours.iter().map(|hour| hour.kills).sum()))
        .table()
}

/// Policies beside each other, ours first.
pub fn policies(caption: &str, replays: &BTreeMap<String, Replay>) -> Table {
    let mut all: Vec<(&String, &Replay)> = replays.iter().collect();
    all.sort_by_key(|(name, _)| (*name != "ours", *name == "static", name.as_str()));
    Table::of(caption, all)
        .text("policy", |(name, _)| match name.as_str() {
            "static" => "limits as they were".to_owned(),
            name => name.to_owned(),
        })
        .amount("CPU limit (cores)", Unit::Cores, |(_, replay)| Some(replay.cpu_limit_cores))
        .amount("CPU slack (%)", Unit::Share, |(_, replay)| Some(replay.cpu_slack))
        .amount("throttled (% of samples)", Unit::Share, |(_, replay)| Some(replay.throttled_rate))
        .amount("memory limit", Unit::Bytes, |(_, replay)| Some(replay.memory_limit_bytes))
        .amount("memory slack (%)", Unit::Share, |(_, replay)| Some(replay.memory_slack))
        .amount("over memory (% of samples)", Unit::Share, |(_, replay)| Some(replay.oom_rate))
        .table()
}
