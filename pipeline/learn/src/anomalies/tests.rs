use super::track::track;
use super::*;
use crate::random::Random;

const START: i64 = 1_790_000_000 * 1_000_000 / HOUR * HOUR;
const WEEKS: usize = 5;

/// About normal: the sum of twelve.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.share()).sum::<f64>() - 6.0
}

/// Hours of a service: work days and nights, noise that remembers the hour before, and now and then a job of its own.
fn usual(seed: u64, stream: u64, hours: usize) -> Vec<f64> {
    let mut random = Random::stream(seed, stream);
    let (level, swing, memory) = (0.2 + 2.0 * random.share(), random.share(), 0.8 * random.share());
    let mut noise = 0.0;
    (0..hours)
        .map(|h| {
            noise = memory * noise + normal(&mut random) * 0.12 * (1.0 - memory * memory).sqrt();
            let hour = START / HOUR + h as i64;
            let works = if matches!(hour / 24 % 7, 2 | 3) { 0.3 } else { 1.0 };
            let day = (std::f64::consts::TAU * ((hour % 24) as f64 - 14.0) / 24.0).cos().max(0.0);
            let burst = if random.chance(0.01) { 0.5 * random.share() } else { 0.0 };
            (level * (1.0 + swing * works * day + burst) * noise.exp()).max(0.0)
        })
        .collect()
}

fn hourly(values: &[f64]) -> Vec<(i64, f64)> {
    values.iter().enumerate().map(|(h, v)| (START + h as i64 * HOUR, *v)).collect()
}

/// A resource with four figures.
fn resource(name: &str, seed: u64, change: impl Fn(&mut [Vec<f64>; 4])) -> Subject {
    let mut figures = [0, 1, 2, 3].map(|stream| usual(seed, stream, WEEKS * 168));
    figures[1].iter_mut().for_each(|v| *v *= 1e9);
    change(&mut figures);
    let names = ["cpu_cores", "memory_bytes", "io_bytes_per_s", "net_bytes_per_s"];
    let tracks =
        names.into_iter().zip(&figures).map(|(name, values)| track(name, hourly(values), None, false)).collect();
    Subject { kind: track::RESOURCE.into(), name: name.into(), tracks }
}

fn found(subjects: &[Subject], days: i64) -> Vec<Anomaly> {
    let now = Timestamp(START + (WEEKS * 168) as i64 * HOUR);
    search(subjects, &AnomaliesSpec { now, since: now.plus(-days * DAY), budget: BUDGET }).found
}

/// The budget: on resources of which nothing is wrong, over the last two of five weeks.
#[test]
fn chance_is_found_no_more_often_than_the_budget_says() {
    let many: Vec<Subject> = (0..400).map(|n| resource(&format!("env-{n}/{}", n % 40), n, |_| ())).collect();
    let found = found(&many, 14);
    let weeks = 400.0 * 2.0;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    found.iter().for_each(|a| *kinds.entry(a.anomaly.name()).or_default() += 1);
    let rate = found.len() as f64 / weeks;
    assert!(rate <= BUDGET, "{rate} a resource-week: {kinds:?}");
}

fn share_found(kind: Kind, measure: &str, change: impl Fn(&mut [Vec<f64>; 4])) -> f64 {
    let one = |n: u64| {
        let found = found(&[resource("env/web", 1000 + n, &change)], 7);
        found.iter().any(|a| a.anomaly == kind && a.measure == measure)
    };
    (0..40).filter(|n| one(*n)).count() as f64 / 40.0
}

#[test]
fn what_is_planted_is_found() {
    let now = WEEKS * 168;
    let spike = share_found(Kind::Spike, "cpu_cores", |f| f[0][now - 60] *= 6.0);
    let shift = share_found(Kind::LevelShift, "cpu_cores", |f| f[0][now - 72..].iter_mut().for_each(|v| *v *= 2.5));
    let drift = share_found(Kind::Drift, "net_bytes_per_s", |f| {
        f[3].iter_mut().skip(now - 336).enumerate().for_each(|(i, v)| *v *= 1.0 + 1.2 * i as f64 / 336.0);
    });
    let leak = share_found(Kind::Leak, "memory_bytes", |f| {
        f[1].iter_mut().enumerate().for_each(|(h, v)| *v = 1e9 + 4e6 * h as f64 + 0.02 * *v);
    });
    assert!(spike >= 0.9 && shift >= 0.9 && drift >= 0.6 && leak >= 0.95, "{spike} {shift} {drift} {leak}");
}

#[test]
fn a_finding_says_when_it_began_and_whether_it_goes_on() {
    let now = WEEKS * 168;
    let shifted = resource("a/web", 7, |f| f[0][now - 60..].iter_mut().for_each(|v| *v *= 3.0));
    let end = START + now as i64 * HOUR;
    let shift = found(&[shifted], 7).into_iter().find(|a| a.anomaly == Kind::LevelShift).unwrap();
    assert!((shift.started_at.0 - (end - 60 * HOUR)).abs() <= 4 * HOUR, "{shift:?}");
    assert!(shift.ended_at.is_none() && shift.value.unwrap() > 2.0 * shift.usual.unwrap(), "{shift:?}");
    let spiked = resource("a/web", 7, |f| f[0][now - 100] *= 8.0);
    let found = found(&[spiked], 7);
    let spike = found.iter().find(|a| a.anomaly == Kind::Spike).unwrap();
    assert_eq!((spike.started_at.0, spike.ended_at), (end - 100 * HOUR, Some(Timestamp(end - 99 * HOUR))));
}

#[test]
fn who_no_longer_reports_is_silent_and_who_sleeps_at_night_is_not() {
    let gone = |n: u64, hours: usize| {
        let mut subject = resource(&format!("{n}/web"), n, |_| ());
        subject.tracks.iter_mut().for_each(|t| {
            let left = t.value.len() - hours;
            t.value.truncate(left);
            t.at.truncate(left);
        });
        subject
    };
    let nights = |n: u64, hours: usize| {
        let mut subject = gone(n, hours);
        let asleep = |i: usize| (i + 4) % 24 < 10;
        subject.tracks.iter_mut().for_each(|t| {
            t.value.iter_mut().enumerate().filter(|(i, _)| asleep(*i)).for_each(|(_, v)| *v = f64::NAN);
        });
        subject
    };
    let subjects = [gone(1, 0), gone(2, 30), gone(3, 2), nights(4, 10)];
    let silent: Vec<(String, Severity)> = found(&subjects, 7)
        .into_iter()
        .filter(|a| a.anomaly == Kind::Silence)
        .map(|a| (a.subject, a.severity))
        .collect();
    assert_eq!(silent, [("2/web".to_owned(), Severity::Critical)]);
}

#[test]
fn who_left_its_peers_is_found_and_who_always_differed_is_not() {
    let now = WEEKS * 168;
    let calm = |n: u64, from: usize, factor: f64| {
        resource(&format!("env-{n}/db"), n, |f| {
            let mut random = Random::stream(n, 9);
            f[0] = (0..now).map(|h| (1.0 + 0.1 * normal(&mut random)) * if h >= from { factor } else { 1.0 }).collect();
        })
    };
    let mut subjects: Vec<Subject> = (0..12).map(|n| calm(n, now, 1.0)).collect();
    subjects.push(calm(20, now - 48, 12.0));
    subjects.push(calm(21, 0, 12.0));
    let outliers: Vec<String> = found(&subjects, 7)
        .into_iter()
        .filter(|a| a.anomaly == Kind::PeerOutlier && a.measure == "cpu_cores")
        .map(|a| a.subject)
        .collect();
    assert_eq!(outliers, ["env-20/db"]);
}

#[test]
fn builds_that_take_longer_and_kpis_that_come_once_a_day_are_looked_at_too() {
    let mut random = Random::stream(3, 3);
    let runs: Vec<(i64, f64)> = (0..400_i64)
        .map(|n| {
            let slower = if n >= 385 { 2.0 } else { 1.0 };
            (START + n * 2 * HOUR + 60, 300_000.0 * slower * (1.0 + 0.1 * normal(&mut random)))
        })
        .collect();
    let daily: Vec<(i64, f64)> = (0..35_i64)
        .map(|d| (START + d * DAY, if d == 34 { 900.0 } else { 100.0 + 5.0 * normal(&mut random) }))
        .collect();
    let subject = |kind: &str, name: &str, track| Subject { kind: kind.into(), name: name.into(), tracks: vec![track] };
    let subjects = [
        subject(track::JOB, "acme/api build", track("duration_ms", runs, None, true)),
        subject("kpi", "acme/api", track("latency_ms", daily, None, false)),
    ];
    let found = found(&subjects, 7);
    let of = |kind: &str| found.iter().find(|a| a.subject_kind == kind).map(|a| a.anomaly);
    assert_eq!((of("job"), of("kpi")), (Some(Kind::LevelShift), Some(Kind::Spike)), "{found:?}");
}

#[test]
fn what_is_too_short_is_counted_and_not_judged() {
    let mut subject = resource("a/new", 1, |_| ());
    subject.tracks.iter_mut().for_each(|t| {
        t.value.drain(..t.value.len() - 40);
        t.at.drain(..t.at.len() - 40);
    });
    let now = Timestamp(START + (WEEKS * 168) as i64 * HOUR);
    let summary = search(&[subject], &AnomaliesSpec { now, since: now.plus(-7 * DAY), budget: BUDGET });
    assert_eq!((summary.series, summary.too_short, summary.found.len()), (4, 4, 0));
}
