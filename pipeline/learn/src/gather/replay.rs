//! The plan on a recording of real process trees at one sample a second (`data-samples/gather/trees.parquet`): with as many
//! samples it finds more of the days' peaks than one interval for all does.
//!
//! A day of the recording is 300 s and is told as a day: moments are stretched, intervals between samples are not. The first
//! two days are sampled uniformly; then the plan is made every midnight from what was gathered until then.

use super::*;
use crate::parquet;
use crate::shadow::{Choices, ShadowInput, ShadowSpec, forecast};
use domain::gather::Sampled;
use polars::prelude::{Column, NamedFrom, Series};

const DAY_S: usize = 300;
const UNIFORM_DAYS: usize = 2;
const UNIFORM_S: f64 = 17.0;
const START: i64 = 480_000 * HOUR;
/// A day that never takes more, five ticks of the kernel's clock, has no peak that a recording resolves.
const RESOLVED_CORES: f64 = 0.05;

/// Cores and bytes of a second.
type Second = [f64; 2];
/// Second of the day, mean cores since the sample before, bytes.
type Sample = (usize, Sampled);

fn recording() -> BTreeMap<String, Vec<Second>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-samples/gather/trees.parquet");
    let frame = Frame::read(&path).unwrap();
    let (names, cpu, memory) =
        (frame.texts("resource").unwrap(), frame.numbers("cpu_ms").unwrap(), frame.numbers("memory_kib").unwrap());
    let mut all: BTreeMap<String, Vec<Second>> = BTreeMap::new();
    for (row, name) in names.into_iter().enumerate() {
        all.entry(name.unwrap()).or_default().push([cpu[row] / 1000.0, memory[row] * 1024.0]);
    }
    all
}

/// One day, asked every second how long to wait, as the collector asks.
fn sample(seconds: &[Second], pace: impl Fn(usize, Sampled) -> f64) -> Vec<Sample> {
    let (mut taken, mut last, mut said) = (Vec::new(), 0, Sampled::default());
    let mut due = pace(0, said);
    for second in 1..=seconds.len() {
        due = due.min((second - 1) as f64 + pace(second - 1, said));
        if due > second as f64 + 0.5 {
            continue;
        }
        let used: f64 = seconds[last..second].iter().map(|s| s[0]).sum();
        let cpu_cores = Some(used / (second - last) as f64);
        said = Sampled { cpu_cores, memory_bytes: Some(seconds[second - 1][1]) };
        taken.push((second, said));
        due = due.max(if second as f64 > due { second as f64 } else { due }) + pace(second, said);
        last = second;
    }
    taken
}

/// The share of each peak that no sample shows.
fn missed(seconds: &[Second], taken: &[Sample]) -> Vec<f64> {
    let of = |figure: usize| {
        let peak = seconds.iter().map(|s| s[figure]).fold(0.0, f64::max);
        let said = |s: &Sample| if figure == 0 { s.1.cpu_cores } else { s.1.memory_bytes };
        let seen = taken.iter().filter_map(said).fold(0.0, f64::max);
        (peak >= [RESOLVED_CORES, 1.0][figure]).then(|| 1.0 - (seen / peak).min(1.0))
    };
    [of(0), of(1)].into_iter().flatten().collect()
}

fn moment(day: usize, second: f64) -> i64 {
    START + day as i64 * 24 * HOUR + (second / DAY_S as f64 * (24 * HOUR) as f64) as i64
}

/// `features.resource_hours` of what was gathered: by resource and day.
fn write_hours(path: &Path, gathered: &BTreeMap<String, Vec<Vec<Sample>>>) {
    let mut hours: BTreeMap<(&str, i64), Vec<Sampled>> = BTreeMap::new();
    for (name, days) in gathered {
        for (day, taken) in days.iter().enumerate() {
            for (second, said) in taken {
                let hour = (moment(day, *second as f64) - 1).div_euclid(HOUR);
                hours.entry((name.as_str(), hour)).or_default().push(*said);
            }
        }
    }
    let cores = |said: &[Sampled]| said.iter().filter_map(|s| s.cpu_cores).collect::<Vec<f64>>();
    let numbers = |name: &str, of: &dyn Fn(&[Sampled]) -> f64| -> Column {
        Series::new(name.into(), hours.values().map(|said| of(said)).collect::<Vec<_>>()).into()
    };
    let columns = vec![
        Column::from(Series::new(h::RESOURCE.into(), hours.keys().map(|key| key.0).collect::<Vec<_>>())),
        parquet::time_column(h::HOUR, hours.keys().map(|key| key.1 * HOUR).collect()),
        numbers(h::CPU_CORES, &|said| cores(said).iter().sum::<f64>() / said.len() as f64),
        numbers(h::CPU_CORES_MAX, &|said| cores(said).into_iter().fold(0.0, f64::max)),
        numbers(h::MEMORY_BYTES, &|said| said.iter().filter_map(|s| s.memory_bytes).fold(0.0, f64::max)),
        numbers(h::IO_BYTES_PER_S, &|_| f64::NAN),
        numbers(h::NET_BYTES_PER_S, &|_| f64::NAN),
    ];
    parquet::write(path, columns).unwrap();
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn with_as_many_samples_the_plan_finds_more_of_the_peaks() {
    let all = recording();
    let days = all.values().map(Vec::len).min().unwrap() / DAY_S;
    let of_day = |name: &str, day: usize| &all[name][day * DAY_S..(day + 1) * DAY_S];
    let folder = tempfile::tempdir().unwrap();
    let [hours, shadow] = ["hours", "shadow"].map(|name| folder.path().join(name));
    let mut gathered: BTreeMap<String, Vec<Vec<Sample>>> = BTreeMap::new();
    let (mut samples, mut errors) = (0, Vec::new());
    for day in 0..days {
        let now = Timestamp(moment(day, 0.0));
        let plan = (day >= UNIFORM_DAYS).then(|| {
            write_hours(&hours, &gathered);
            let spec = ShadowSpec::new(now, 24);
            let input = ShadowInput { hours: &hours, runs: None, schedule: None };
            forecast(input, &spec, &mut Choices::default(), &shadow, &|_| ()).unwrap();
            gather_plan(&shadow, &hours, None, now).unwrap()
        });
        for name in all.keys() {
            let pace = |second: usize, said: Sampled| match &plan {
                Some(plan) => plan.pace(name, Timestamp(moment(day, second as f64)), said, UNIFORM_S).interval_s,
                None => UNIFORM_S,
            };
            let taken = sample(of_day(name, day), pace);
            if plan.is_some() {
                samples += taken.len();
                errors.extend(missed(of_day(name, day), &taken));
            }
            gathered.entry(name.clone()).or_default().push(taken);
        }
    }
    let planned = (UNIFORM_DAYS..days).flat_map(|day| all.keys().map(move |name| of_day(name, day)));
    let planned: Vec<&[Second]> = planned.collect();
    let same = (planned.len() * DAY_S) as f64 / samples as f64;
    // One interval meets a burst by chance: the mean of some around the one with as many samples.
    let around = [0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15].map(|share| {
        let one = |seconds: &&[Second]| missed(seconds, &sample(seconds, |_, _| share * same));
        mean(&planned.iter().flat_map(one).collect::<Vec<_>>())
    });
    let (ours, uniform) = (mean(&errors), mean(&around));
    assert!(ours < 0.85 * uniform, "{samples} samples: {ours:.3}, uniform {uniform:.3}");
}
