//! The fleet: the figures of the first screen, its worst resources, and where its bottlenecks are. Nothing is averaged over
//! resources: of shares, what was used is summed and held against what was allowed.

mod bottlenecks;

use super::{Source, queries};
use crate::failure::Failure;
use domain::Timestamp;
use domain::plan::{Action, Item, Plan, Rates, State};
use domain::time::{DAY, HOUR};
use domain::units;
use page::{Block, Cell, Column, Number, Table, Tone, Unit};
use serde_json::Value;
use std::collections::BTreeMap;

/// Resources on the first screen.
const WORST: usize = 10;

/// Resources whose state one report hands on to the next.
const NAMED: usize = 200;

/// What was measured of the days of a report.
#[derive(Default)]
pub struct Fleet {
    /// A row a day.
    days: Vec<Day>,
    /// A row a resource, worst first, as the report `starved-or-idle` has them.
    states: Vec<Value>,
    builds: Builds,
    newest: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct Day {
    at: f64,
    hours: f64,
    contended: f64,
    kills: f64,
    cpu: (f64, f64),
    memory: (f64, f64),
}

/// How long builds and tests take.
#[derive(Clone, Debug, Default)]
struct Builds {
    runs: f64,
    p95: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

/// Asks the lake.
pub async fn gather(source: &Source<'_>) -> Result<Fleet, Failure> {
    let mut fleet = Fleet::default();
    if source.has("marts.usage") {
        for row in source.ask("report_days").await? {
            let number = |name: &str| row[name].as_f64().unwrap_or_default();
            let newest = time(&row["newest"]);
            fleet.newest = fleet.newest.max(newest);
            fleet.days.push(Day {
                at: time(&row["day"]).unwrap_or_default().0 as f64,
                hours: number("hours"),
                contended: number("contended"),
                kills: number("kills"),
                cpu: (number("cpu_used"), number("cpu_held")),
                memory: (number("memory_used"), number("memory_held")),
            });
        }
        let states = queries::rows(source, "starved-or-idle").await?;
        let of_report = |row: &Value| source.resource.is_none_or(|resource| row["resource"] == resource);
        fleet.states = states.into_iter().filter(of_report).collect();
        fleet.states.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    }
    if source.has("marts.runs")
        && let Some(row) = source.ask("report_builds").await?.first()
    {
        let number = |name: &str| row[name].as_f64();
        let runs = number("runs").unwrap_or_default();
        fleet.builds = Builds { runs, p95: number("p95"), low: number("low"), high: number("high") };
    }
    Ok(fleet)
}

/// A time of a row.
pub fn time(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}Z")))
}

/// How old something is, in words: hours, then days.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    match (now.0 - at.0) as f64 {
        span if span < HOUR as f64 => "under an hour".to_owned(),
        span if span < 2.0 * DAY as f64 => format!("{:.0} hours", span.max(0.0) / HOUR as f64),
        span => format!("{:.0} days", span / DAY as f64),
    }
}

/// What is worst comes first: killed, then contended, then what holds most and uses least.
fn rank(row: &Value) -> f64 {
    let number = |name: &str| row[name].as_f64().unwrap_or_default();
    let unused = |limit: &str, peak: &str| (number(limit) - number(peak)).max(0.0);
    let wasted = unused("cpu_limit", "cpu_peak") * 22.0 + unused("gib_limit", "gib_peak") * 3.0;
    if number("oom_kills") > 0.0 {
        1e9 + number("oom_kills")
    } else if row["state"] == "starved" {
        1e6 + number("contended_pct")
    } else {
        wasted.min(1e5)
    }
}

/// A share over all days with its 95 % interval, by the jackknife over days (Efron 1982): hours of one day resemble one
/// another, days less so.
fn jackknife(days: &[(f64, f64)]) -> Option<(f64, Option<(f64, f64)>)> {
    let (part, whole) = days.iter().fold((0.0, 0.0), |(p, w), (part, of)| (p + part, w + of));
    let share = (whole > 0.0).then(|| part / whole)?;
    let without: Vec<f64> =
        days.iter().filter(|(_, of)| whole - of > 0.0).map(|(p, of)| (part - p) / (whole - of)).collect();
    let n = without.len() as f64;
    if n < 3.0 {
        return Some((share, None));
    }
    let mean = without.iter().sum::<f64>() / n;
    let error = ((n - 1.0) / n * without.iter().map(|x| (x - mean).powi(2)).sum::<f64>()).sqrt();
    Some((share, Some(((share - 1.96 * error).max(0.0), (share + 1.96 * error).min(1.0)))))
}

fn between(unit: Unit, interval: Option<(f64, f64)>) -> String {
    interval.map_or_else(
        || "too few days for an interval".to_owned(),
        |(low, high)| format!("95 %: {}", unit.between(low, high)),
    )
}

/// What limits cost a month, at the list prices of the plan.
pub fn month(items: &[&Item], state: impl Fn(&Item) -> State) -> f64 {
    let rates = Rates::default();
    // A resource that several targets have is paid for once.
    let mut seen: Vec<&str> = Vec::new();
    let mut sum = 0.0;
    for item in items {
        if !seen.contains(&item.resource.as_str()) {
            seen.push(&item.resource);
            let replicas = f64::from(item.projected.replicas.unwrap_or(1));
            sum += rates.month(state(item)).unwrap_or_default() * replicas;
        }
    }
    sum
}

impl Fleet {
    /// How many resources there are.
    pub fn resources(&self) -> usize {
        self.states.len()
    }

    /// A row a resource, worst first.
    pub fn rows(&self) -> &[Value] {
        &self.states
    }

    /// The newest hour.
    pub fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// The names on the first screen.
    pub fn worst_names(&self) -> impl Iterator<Item = &str> {
        self.states.iter().take(WORST).filter_map(|row| row["resource"].as_str())
    }

    /// The resources that are starved or idle, the worst of them.
    pub fn states(&self) -> BTreeMap<String, String> {
        let name = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let told = self.states.iter().filter(|row| row["state"] == "starved" || row["state"] == "idle");
        told.take(NAMED).map(|row| (name(row, "resource"), name(row, "state"))).collect()
    }

    /// The figures that are compared from report to report.
    pub fn figures(&self, plan: Option<&Plan>) -> BTreeMap<String, f64> {
        let mut figures = BTreeMap::new();
        let mut put = |name: &str, value: Option<f64>| {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                figures.insert(name.to_owned(), value);
            }
        };
        put("CPU slack (%)", self.slack(|day| day.cpu).map(|(share, _)| share * 100.0));
        put("memory slack (%)", self.slack(|day| day.memory).map(|(share, _)| share * 100.0));
        put("contended hours (%)", self.contended().map(|(share, _)| share * 100.0));
        put("memory kills", (!self.days.is_empty()).then(|| self.kills()));
        put("p95 of builds and tests (s)", self.builds.p95.map(|ms| ms / 1000.0));
        if let Some(plan) = plan {
            let items: Vec<&Item> = plan.items.iter().collect();
            put("cost of the limits a month", Some(month(&items, |item| item.before)));
        }
        figures
    }

    fn slack(&self, of: impl Fn(&Day) -> (f64, f64)) -> Option<(f64, Option<(f64, f64)>)> {
        let days: Vec<(f64, f64)> = self.days.iter().map(of).collect();
        let (used, interval) = jackknife(&days)?;
        Some((1.0 - used, interval.map(|(low, high)| (1.0 - high, 1.0 - low))))
    }

    fn contended(&self) -> Option<(f64, Option<(f64, f64)>)> {
        jackknife(&self.days.iter().map(|day| (day.contended, day.hours)).collect::<Vec<_>>())
    }

    fn kills(&self) -> f64 {
        self.days.iter().map(|day| day.kills).sum()
    }

    /// The age of what everything rests on.
    pub fn newest_in_words(&self, now: Timestamp) -> String {
        match self.newest {
            None => "none".to_owned(),
            Some(newest) => {
                format!("{}, {} old", newest.minute(), age(newest, now))
            }
        }
    }

    /// The four figures.
    pub fn numbers(&self, plan: Option<&Plan>) -> Vec<Number> {
        vec![self.cost(plan), self.slack_number(), self.held_back(), self.p95()]
    }

    fn cost(&self, plan: Option<&Plan>) -> Number {
        let name = "Cost of the limits a month".to_owned();
        let Some(plan) = plan else {
            return Number { name, value: "–".into(), note: "told by a plan".into(), ..Number::default() };
        };
        let items: Vec<&Item> = plan.items.iter().collect();
        let (before, after) = (month(&items, |item| item.before), month(&items, |item| item.after));
        let bound = |bound: fn(&Item) -> State| {
            let is_changed = |item: &Item| item.action == Action::Resize;
            month(&items, |item| if is_changed(item) { either(bound(item), item.after) } else { item.after })
        };
        let (low, high) = (bound(|item| item.lower_bound), bound(|item| item.upper_bound));
        let value = match plan.changes().next() {
            Some(_) => format!("{} → {}", Unit::Money.format(before), Unit::Money.format(after)),
            None => Unit::Money.format(before),
        };
        let interval = match plan.changes().next() {
            Some(_) => format!("within its bounds {} to {}", Unit::Money.format(low), Unit::Money.format(high)),
            None => "no change".to_owned(),
        };
        let tone = if after < before { Tone::Good } else { Tone::Plain };
        Number { name, value, interval, note: format!("{} resources of the plan, at list price", items.len()), tone }
    }

    fn slack_number(&self) -> Number {
        let name = "Slack: CPU, memory".to_owned();
        let (cpu, memory) = (self.slack(|day| day.cpu), self.slack(|day| day.memory));
        let value = |found: &Option<(f64, Option<(f64, f64)>)>| {
            found.as_ref().map_or_else(|| "–".to_owned(), |(share, _)| Unit::Share.say((share * 100.0).round() / 100.0))
        };
        let interval = |found: &Option<(f64, Option<(f64, f64)>)>| {
            found.as_ref().and_then(|(_, interval)| *interval).map_or_else(
                || "–".to_owned(),
                |(low, high)| format!("{} %", units::interval(low * 100.0, high * 100.0, 0)),
            )
        };
        Number {
            name,
            value: format!("{}, {}", value(&cpu), value(&memory)),
            interval: format!("95 %: {}; {}", interval(&cpu), interval(&memory)),
            note: "unused share of the limits, all resources summed".into(),
            tone: Tone::Plain,
        }
    }

    fn held_back(&self) -> Number {
        let name = "Kills, and contended hours".to_owned();
        let Some((share, interval)) = self.contended() else {
            return Number { name, value: "–".into(), note: "no usage of these days".into(), ..Number::default() };
        };
        let kills = self.kills();
        let word = if kills == 1.0 { "kill" } else { "kills" };
        let tone = match kills {
            kills if kills > 0.0 => Tone::Bad,
            _ if share >= 0.05 => Tone::Warn,
            _ => Tone::Plain,
        };
        Number {
            name,
            value: format!("{} {word}, {}", Unit::Plain.format(kills), Unit::Share.say(share)),
            interval: between(Unit::Share, interval),
            note: format!(
                "of {} resource-hours throttled, stalled or killed",
                Unit::Plain.format(self.days.iter().map(|day| day.hours).sum())
            ),
            tone,
        }
    }

    fn p95(&self) -> Number {
        let name = "p95 of builds and tests".to_owned();
        let say = |ms: f64| Unit::Milliseconds.say(ms);
        let Some(p95) = self.builds.p95 else {
            return Number { name, value: "–".into(), note: "no runs in these days".into(), ..Number::default() };
        };
        let interval = match (self.builds.low, self.builds.high) {
            (None, _) => String::new(),
            (Some(low), None) => format!("95 %: {} to more than was seen", say(low)),
            (Some(low), Some(high)) => format!("95 %: {}", Unit::Milliseconds.between(low, high)),
        };
        let note = format!("of {} runs", Unit::Plain.format(self.builds.runs));
        Number { name, value: say(p95), interval, note, tone: Tone::Plain }
    }

    /// The worst resources, each by itself.
    pub fn worst(&self, plan: Option<&Plan>) -> Block {
        if self.states.is_empty() {
            return Block::missing(
                "No resource has usage in these days.",
                &["pipeline collect docker", "pipeline materialize"],
            );
        }
        let number = |row: &Value, name: &str| row[name].as_f64();
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let of = |row: &Value, peak: &str, limit: &str| {
            let say = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| Unit::Plain.format(v));
            let text = format!("{} of {}", say(number(row, peak)), say(number(row, limit)));
            Cell { text, sort: number(row, peak), tone: Tone::Plain }
        };
        let state = |row: &Value| {
            let state = text(row, "state");
            let tone = match state.as_str() {
                "starved" => Tone::Bad,
                "idle" => Tone::Warn,
                _ => Tone::Plain,
            };
            Cell::text(state).toned(tone)
        };
        let kills = |row: &Value| {
            let kills = number(row, "oom_kills");
            Cell::amount(Unit::Plain, kills).toned(if kills > Some(0.0) { Tone::Bad } else { Tone::Plain })
        };
        let count = self.states.len().min(WORST);
        let table = Table::of(
            format!("The {count} worst of {} resources, worst first", self.states.len()),
            self.states.iter().take(WORST),
        )
        .text("resource", |row| text(row, "resource"))
        .cells(Column::text("state"), |row| state(row))
        .amount("contended hours (%)", Unit::Percent, |row| number(row, "contended_pct"))
        .cells(Column::number("kills"), |row| kills(row))
        .cells(Column::number("CPU peak of limit (cores)"), |row| of(row, "cpu_peak", "cpu_limit"))
        .cells(Column::number("memory peak of limit (GiB)"), |row| of(row, "gib_peak", "gib_limit"))
        .text("the plan", |row| in_plan(plan, &text(row, "resource")))
        .table();
        Block::Table(table)
    }
}

/// What the plan does with a resource, in a few words.
fn in_plan(plan: Option<&Plan>, resource: &str) -> String {
    let items = plan.into_iter().flat_map(|plan| &plan.items).filter(|item| item.resource == resource);
    let words: Vec<String> = items.map(super::planned::change_in_words).collect();
    if words.is_empty() { "not in the plan".to_owned() } else { words.join("; ") }
}

/// One state with what another lacks.
fn either(first: State, second: State) -> State {
    State {
        cpu_cores: first.cpu_cores.filter(|_| second.cpu_cores.is_some()).or(second.cpu_cores),
        memory_bytes: first.memory_bytes.filter(|_| second.memory_bytes.is_some()).or(second.memory_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_needs_days_and_holds_the_share() {
        assert_eq!(jackknife(&[]), None);
        assert_eq!(jackknife(&[(1.0, 4.0)]), Some((0.25, None)));
        let days: Vec<(f64, f64)> = (0..30).map(|n| (f64::from(n % 5), 24.0)).collect();
        let (share, interval) = jackknife(&days).unwrap();
        let (low, high) = interval.unwrap();
        assert!(low < share && share < high && high - low < 0.06, "{low} {share} {high}");
        let same = jackknife(&[(6.0, 24.0); 10]).unwrap();
        assert_eq!(same, (0.25, Some((0.25, 0.25))));
    }

    #[test]
    fn the_killed_come_before_the_throttled_and_these_before_the_idle() {
        let row = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let killed = row(r#"{"state":"starved","oom_kills":1,"contended_pct":1}"#);
        let starved = row(r#"{"state":"starved","oom_kills":0,"contended_pct":90}"#);
        let idle = row(r#"{"state":"idle","cpu_limit":64,"cpu_peak":1}"#);
        assert!(rank(&killed) > rank(&starved) && rank(&starved) > rank(&idle));
    }
}
