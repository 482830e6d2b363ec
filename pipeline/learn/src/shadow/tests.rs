//! From hours in a file to rows in another.

use super::schedule::UNKNOWN_EVENT_FACTOR;
use super::*;
use crate::forecast::LAST_VALUE;
use crate::forecast::tests::{daily, noise};
use crate::frame::Frame;
use domain::columns::{hours as h, run_hours as r, schedule as s};

const START: i64 = 400_000;

/// Hour, cores, bytes.
type Rows = Vec<(Hour, f64, f64)>;

/// Without disk and network: the source did not report them.
fn write_hours(path: &Path, resources: &[(&str, Rows)]) {
    write_traffic(path, resources, &|_, _| None);
}

/// With the disk traffic of each resource and hour, where there is any; the network has half of it.
fn write_traffic(path: &Path, resources: &[(&str, Rows)], disk: &dyn Fn(&str, f64) -> Option<f64>) {
    let rows = || resources.iter().flat_map(|(r, hours)| hours.iter().map(move |row| (*r, row)));
    let columns = vec![
        Column::from(Series::new(h::RESOURCE.into(), rows().map(|(r, _)| r).collect::<Vec<_>>())),
        parquet::time_column(h::HOUR, rows().map(|(_, row)| row.0 * HOUR).collect()),
        Series::new(h::CPU_CORES.into(), rows().map(|(_, row)| row.1).collect::<Vec<_>>()).into(),
        Series::new(h::MEMORY_BYTES.into(), rows().map(|(_, row)| row.2).collect::<Vec<_>>()).into(),
        Series::new(h::IO_BYTES_PER_S.into(), rows().map(|(r, row)| disk(r, row.1)).collect::<Vec<_>>()).into(),
        Series::new(
            h::NET_BYTES_PER_S.into(),
            rows().map(|(r, row)| disk(r, row.1).map(|x| x / 2.0)).collect::<Vec<_>>(),
        )
        .into(),
    ];
    parquet::write(path, columns).unwrap();
}

struct Given<'a>(&'a str, Option<&'a str>, &'a str, Hour, Hour, Option<f64>);

fn write_schedule(path: &Path, events: &[Given]) {
    let columns = vec![
        Column::from(Series::new(s::ID.into(), events.iter().map(|e| e.0).collect::<Vec<_>>())),
        Series::new(s::RESOURCE.into(), events.iter().map(|e| e.1).collect::<Vec<_>>()).into(),
        Series::new(s::EVENT_TYPE.into(), events.iter().map(|e| e.2).collect::<Vec<_>>()).into(),
        parquet::time_column(s::START_TIME, events.iter().map(|e| e.3 * HOUR).collect()),
        parquet::time_column(s::END_TIME, events.iter().map(|e| e.4 * HOUR).collect()),
        Series::new(s::SCALE.into(), events.iter().map(|e| e.5).collect::<Vec<_>>()).into(),
    ];
    parquet::write(path, columns).unwrap();
}

fn days(n: usize, seed: u64) -> Rows {
    daily(24 * n, 0.8, 0.1, seed).into_iter().zip(START..).map(|(v, hour)| (hour, v, v * 1e9)).collect()
}

struct Run {
    summary: ShadowSummary,
    cpu: [Vec<f64>; 3],
    confidence: Vec<f64>,
    at: Vec<Option<Timestamp>>,
    event: Vec<Option<String>>,
}

fn run(resources: &[(&str, Rows)], events: &[Given], now: Hour) -> Run {
    run_with(resources, events, now, &[])
}

fn run_with(resources: &[(&str, Rows)], events: &[Given], now: Hour, changes: &[Hour]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let [hours, schedule, out] = ["hours", "schedule", "out"].map(|name| folder.path().join(name));
    write_hours(&hours, resources);
    write_schedule(&schedule, events);
    let change = |hour: &Hour| ChangedAt { resource: "a".to_owned(), at: Timestamp(hour * HOUR + 5) };
    let changes = changes.iter().map(change).collect();
    let spec = ShadowSpec { changes, ..ShadowSpec::new(Timestamp(now * HOUR + 17), 24) };
    let summary = {
        let input = ShadowInput { hours: &hours, runs: None, schedule: Some(&schedule) };
        forecast(input, &spec, &mut Choices::default(), &out, &|_| ()).unwrap()
    };
    let frame = Frame::read(&out).unwrap();
    Run {
        summary,
        cpu: col::CPU_CORES.map(|name| frame.numbers(name).unwrap()),
        confidence: frame.numbers(col::CONFIDENCE).unwrap(),
        at: frame.times(col::AT).unwrap(),
        event: frame.texts(col::SCHEDULE_EVENT_ID).unwrap(),
    }
}

#[test]
fn one_row_per_resource_and_hour_after_now() {
    let end = START + 24 * 10 - 1;
    let r = run(&[("b/x", days(10, 1)), ("a/x", days(10, 2))], &[], end);
    assert_eq!((r.summary.resources, r.summary.rows, r.at.len()), (2, 48, 48));
    assert_eq!(r.at[0], Some(Timestamp((end + 1) * HOUR)));
    assert_eq!(r.at[23], Some(Timestamp((end + 24) * HOUR)));
    assert_eq!(r.summary.data_watermark, Timestamp(end * HOUR));
    assert!(r.event.iter().all(Option::is_none));
    assert!(r.summary.all.mase.unwrap() < r.summary.all.mase_seasonal_naive.unwrap());
    assert!(r.summary.all.peak_mase.unwrap() < 1.5 * r.summary.all.peak_mase_naive.unwrap());
    assert!((0.8..=1.0).contains(&r.summary.all.peak_held.unwrap()));
}

#[test]
fn what_lived_shorter_than_it_has_been_gone_is_left_out_and_counted() {
    let now = START + 239;
    let at = |hours: std::ops::RangeInclusive<i64>| -> Rows { hours.map(|hour| (hour, 1.0, 1e9)).collect() };
    let resources = |dates: std::ops::RangeInclusive<i64>| [("a/x", days(10, 1)), ("b/build", at(dates))];
    let left_out = |dates| run(&resources(dates), &[], now).summary.ephemeral;
    // A container of seconds: one hour with samples, two hours ago; the hour going on is not over.
    assert_eq!((left_out(now - 3..=now - 3).resources, left_out(now - 2..=now - 2).resources), (1, 0));
    // Six hours, gone for six and for seven.
    assert_eq!(left_out(now - 12..=now - 7).resources, 0);
    let gone = left_out(now - 13..=now - 8);
    assert_eq!((gone.resources, gone.longest_hours), (1, 6));
    // A day is no moment: what lived that long is shown, with the confidence of its age.
    assert_eq!(left_out(now - 200..=now - 177).resources, 0);
    assert_eq!(left_out(now - 200..=now - 178).resources, 1);
    let kept = run(&resources(now - 3..=now - 3), &[], now);
    assert_eq!((kept.summary.resources, kept.at.len()), (1, 24));
}

#[test]
fn hours_after_now_are_not_read() {
    let mut later = days(10, 1);
    later.extend((0..48).map(|i| (START + 240 + i, 1e6, 1e15)));
    let (a, b) = (run(&[("a/x", days(10, 1))], &[], START + 239), run(&[("a/x", later)], &[], START + 239));
    assert_eq!(a.cpu, b.cpu);
}

#[test]
fn a_scheduled_scale_raises_centre_and_upper_of_its_hours_only() {
    let now = START + 239;
    let event = |resource| [Given("deploy-7", resource, "deployment", now + 3, now + 5, Some(2.0))];
    let calm = run(&[("a/x", days(10, 1))], &[], now);
    for resource in [Some("a/x"), Some("a"), None] {
        let r = run(&[("a/x", days(10, 1))], &event(resource), now);
        for step in 0..24 {
            let hit = step == 2 || step == 3;
            let factor = if hit { 2.0 } else { 1.0 };
            assert!((r.cpu[0][step] - factor * calm.cpu[0][step]).abs() < 1e-9);
            assert!((r.cpu[2][step] - factor * calm.cpu[2][step]).abs() < 1e-9);
            assert_eq!(r.event[step].as_deref(), hit.then_some("deploy-7"));
        }
    }
    assert!(run(&[("a/x", days(10, 1))], &event(Some("b")), now).event.iter().all(Option::is_none));
}

#[test]
fn an_unscaled_event_does_what_its_kind_did_before() {
    let now = START + 239;
    let mut past = days(10, 1);
    for row in &mut past[200..204] {
        row.1 *= 3.0;
    }
    let seen = Given("old", Some("a"), "load", START + 200, START + 204, None);
    let next = || Given("new", Some("a"), "load", now + 2, now + 3, None);
    let calm = run(&[("a/x", past.clone())], &[], now);
    let learnt = run(&[("a/x", past.clone())], &[seen, next()], now);
    let ratio = learnt.cpu[0][1] / calm.cpu[0][1];
    assert!((2.4..3.6).contains(&ratio), "{ratio}");
    let unknown = run(&[("a/x", past.clone())], &[next()], now);
    assert_eq!(unknown.cpu[0][1], calm.cpu[0][1]);
    assert!((unknown.cpu[2][1] - UNKNOWN_EVENT_FACTOR * calm.cpu[2][1]).abs() < 1e-9);
    let quiet = run(&[("a/x", past)], &[Given("m", None, "maintenance", now + 2, now + 3, None)], now);
    assert_eq!((quiet.cpu[2][1], quiet.event[1].as_deref()), (calm.cpu[2][1], Some("m")));
}

#[test]
fn old_and_short_data_are_trusted_less() {
    let fresh = run(&[("a/x", days(10, 1))], &[], START + 239);
    let stale = run(&[("a/x", days(10, 1))], &[], START + 239 + 24 * 15);
    assert!(stale.confidence[0] < 0.3 * fresh.confidence[0]);
    let ancient = run(&[("a/x", days(10, 1))], &[], START + 239 + 24 * 4000);
    assert!(ancient.confidence[0] < 0.01 && ancient.cpu[2].iter().all(|v| *v < 20.0));
    let short = run(&[("a/x", days(1, 1))], &[], START + 23);
    assert!(short.confidence[0] <= 0.2);
    assert_eq!(short.summary.wins[LAST_VALUE], 2);
}

#[test]
fn a_second_night_keeps_what_was_chosen_until_its_error_grows() {
    let folder = tempfile::tempdir().unwrap();
    let [hours, out] = ["hours", "out"].map(|name| folder.path().join(name));
    let mut choices = Choices::default();
    let mut night = |rows: Rows, day: i64| {
        write_hours(&hours, &[("a/x", rows)]);
        let spec = ShadowSpec::new(Timestamp((START + 24 * day - 1) * HOUR + 17), 24);
        // As a night finds it: what another has written.
        choices = serde_json::from_str(&serde_json::to_string(&choices).unwrap()).unwrap();
        let input = ShadowInput { hours: &hours, runs: None, schedule: None };
        forecast(input, &spec, &mut choices, &out, &|_| ()).unwrap()
    };
    let mut all = days(14, 5);
    let (first, second) = (night(all[..24 * 12].to_vec(), 12), night(all[..24 * 13].to_vec(), 13));
    assert_eq!((first.kept, second.kept), (0, 2));
    assert_eq!(first.wins, second.wins);
    all[24 * 13..].iter_mut().for_each(|row| *row = (row.0, row.1 + 5.0, row.2 * 5.0));
    assert_eq!(night(all.clone(), 14).kept, 0, "a level shift");
    assert_eq!(night(all[..24 * 12].to_vec(), 12).kept, 0, "what later data chose is no part of an earlier night");
}

#[test]
fn groups_hold_whole_resources() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hours");
    let resources: Vec<String> = (0..5).map(|i| format!("a/{i}")).collect();
    let rows: Vec<(&str, Rows)> = resources.iter().map(|r| (r.as_str(), days(1, 3))).collect();
    write_hours(&path, &rows);
    let mut sizes = Vec::new();
    let hours = Hours { samples: &path, runs: None, now: Timestamp((START + 11) * HOUR) };
    hours
        .each_group(2, |group| {
            sizes.push(group.values().map(BTreeMap::len).collect::<Vec<_>>());
        })
        .unwrap();
    assert_eq!(sizes, [vec![12, 12], vec![12, 12], vec![12]]);
}

/// Four weeks and a day of a team that works from Monday to Friday; 400_008 is the first hour of a Thursday. `holiday` days have a
/// weekend's profile.
fn weeks(holidays: &[Hour]) -> Rows {
    let first = 400_008;
    let mut seed = 5;
    (0..24 * 36)
        .map(|at| {
            let hour: Hour = first + at;
            let day = hour.div_euclid(24);
            let rests = matches!((day + 3).rem_euclid(7), 5 | 6) || holidays.contains(&day);
            let working = (8..18).contains(&hour.rem_euclid(24)) && !rests;
            let value = if working { 4.0 } else { 0.4 };
            (hour, value * (1.0 + 0.05 * noise(&mut seed)), 1e9)
        })
        .collect()
}

#[test]
fn a_holiday_looks_like_a_weekend_and_is_not_learnt_as_a_work_day() {
    // The Wednesday a week before, and the Thursday that is forecast.
    let first_day = 400_008_i64.div_euclid(24);
    let (past, next) = (first_day + 28, first_day + 35);
    let all = weeks(&[past, next]);
    let (seen, came) = all.split_at(24 * 35);
    let now = seen.last().unwrap().0;
    let day = |day: i64| Given("h", None, "holiday", day * 24, day * 24 + 24, None);
    let error = |events: &[Given]| {
        let r = run(&[("a/x", seen.to_vec())], events, now);
        let inside = (0..24).filter(|h| (r.cpu[1][*h]..=r.cpu[2][*h]).contains(&came[*h].1)).count();
        (r.cpu[0].iter().zip(came).map(|(centre, row)| (centre - row.1).abs()).sum::<f64>() / 24.0, inside, r.event)
    };
    let ((without, _, _), (with, inside, named)) = (error(&[]), error(&[day(past), day(next)]));
    assert!(with < 0.25 * without && inside >= 16, "{with} {without} {inside}");
    assert!(named.iter().all(|event| event.as_deref() == Some("h")));
    // The day before was a holiday, the next is none: it is a work day again.
    let all = weeks(&[past]);
    let came = &all[24 * 35..];
    let r = |events: &[Given]| run(&[("a/x", all[..24 * 35].to_vec())], events, now).cpu[0].clone();
    let error = |centre: Vec<f64>| centre.iter().zip(came).map(|(c, row)| (c - row.1).abs()).sum::<f64>();
    let (with, without) = (error(r(&[day(past)])), error(r(&[])));
    assert!(with < without, "{with} {without}");
}

#[test]
fn maintenance_is_not_learnt_as_usual_and_comes_only_where_it_is_scheduled() {
    let now = START + 24 * 21 - 1;
    let mut past = days(21, 1);
    // Down on the last two nights, for six hours.
    let windows = [now - 46..now - 40, now - 22..now - 16];
    for row in past.iter_mut().filter(|row| windows.iter().any(|window| window.contains(&row.0))) {
        row.1 = 0.01;
    }
    let calm = run(&[("a/x", days(21, 1))], &[], now);
    let seen = |id, at: &std::ops::Range<Hour>| Given(id, Some("a"), "maintenance", at.start, at.end, None);
    let known = [seen("m1", &windows[0]), seen("m2", &windows[1])];
    let learnt = run(&[("a/x", past.clone())], &[], now);
    let told = run(&[("a/x", past.clone())], &known, now);
    let error = |run: &Run| (0..24).map(|h| (run.cpu[0][h] - calm.cpu[0][h]).abs()).fold(0.0, f64::max);
    assert!(error(&told) < 0.2 && error(&told) < 0.5 * error(&learnt), "{} {}", error(&told), error(&learnt));
    // The same comes again: down in its window, and not beside it.
    let [one, two] = known;
    let next = run(&[("a/x", past)], &[one, two, seen("m3", &(now + 3..now + 6))], now);
    assert!(next.cpu[0][3] < 0.4 * calm.cpu[0][3], "{} {}", next.cpu[0][3], calm.cpu[0][3]);
    assert!((next.cpu[0][12] - calm.cpu[0][12]).abs() < 0.3);
}

#[test]
fn a_flag_that_moved_the_level_is_followed_at_once_and_one_that_did_not_changes_nothing() {
    let now = START + 24 * 21 - 1;
    let mut past = days(21, 1);
    // Since twelve hours ago, twice as much.
    for row in past.iter_mut().filter(|row| row.0 > now - 12) {
        row.1 *= 2.0;
    }
    let calm = run(&[("a/x", days(21, 1))], &[], now);
    let told = run_with(&[("a/x", past.clone())], &[], now, &[now - 12]);
    let untold = run(&[("a/x", past)], &[], now);
    let error = |run: &Run| (0..24).map(|h| (run.cpu[0][h] - 2.0 * calm.cpu[0][h]).abs()).sum::<f64>() / 24.0;
    assert!(error(&told) < 0.3 && error(&told) < 0.5 * error(&untold), "{} {}", error(&told), error(&untold));
    let same = run_with(&[("a/x", days(21, 1))], &[], now, &[now - 30]);
    assert_eq!(same.cpu, calm.cpu);
}

/// Runs of a resource in some hours.
fn write_runs(path: &Path, runs: &[(&str, Hour, i64)]) {
    let columns = vec![
        Column::from(Series::new(r::RESOURCE.into(), runs.iter().map(|run| run.0).collect::<Vec<_>>())),
        parquet::time_column(r::HOUR, runs.iter().map(|run| run.1 * HOUR).collect()),
        Series::new(r::RUNS.into(), runs.iter().map(|run| run.2).collect::<Vec<_>>()).into(),
    ];
    parquet::write(path, columns).unwrap();
}

#[test]
fn every_measure_is_forecast_where_it_was_reported_and_none_is_invented() {
    let folder = tempfile::tempdir().unwrap();
    let [hours, runs, out] = ["hours", "runs", "out"].map(|name| folder.path().join(name));
    let end = START + 24 * 14 - 1;
    // Of b neither disk nor network is known, and it has no runs.
    write_traffic(&hours, &[("a/x", days(14, 1)), ("b/y", days(14, 2))], &|name, cores| {
        (name == "a/x").then_some(cores * 3e6)
    });
    // Two runs an hour from 9 to 17, none at night; a job that nothing else is known of runs once a day, its last eight hours ago.
    let at_work = |hour: &Hour| (9..17).contains(&hour.rem_euclid(24));
    let mut counted: Vec<(&str, Hour, i64)> = (START..=end).filter(at_work).map(|hour| ("a/x", hour, 2)).collect();
    counted.extend(
        (START..=end - 8).rev().step_by(24).map(|hour| ("acme ci/nightly", hour, 1)).collect::<Vec<_>>().iter().rev(),
    );
    write_runs(&runs, &counted);
    let spec = ShadowSpec::new(Timestamp(end * HOUR + HOUR - 1), 24);
    let mut choices = Choices::default();
    let input = |runs| ShadowInput { hours: &hours, runs, schedule: None };
    let summary = forecast(input(Some(&*runs)), &spec, &mut choices, &out, &|_| ()).unwrap();
    let frame = Frame::read(&out).unwrap();
    let series: Vec<(&str, usize)> = summary.measures.iter().map(|(name, held)| (*name, held.series)).collect();
    let two =
        [("cpu_cores", 2), ("io_bytes_per_s", 1), ("memory_bytes", 2), ("net_bytes_per_s", 1), ("runs_per_hour", 2)];
    assert_eq!((summary.resources, series), (3, two.to_vec()));
    let names = frame.texts(col::RESOURCE_ID).unwrap();
    let of = |name: &str, column: &str| -> Vec<f64> {
        let values = frame.numbers(column).unwrap();
        (0..frame.rows()).filter(|i| names[*i].as_deref() == Some(name)).map(|i| values[i]).collect()
    };
    // What comes, without noise: a sine of the hour.
    let came = |step: usize| 2.0 + 0.8 * (std::f64::consts::TAU * (step % 24) as f64 / 24.0).sin();
    for (column, unit) in [("cpu_cores", 1.0), ("io_bytes_per_s", 3e6), ("net_bytes_per_s", 1.5e6)] {
        let said = of("a/x", column);
        (0..24)
            .for_each(|step| assert!((said[step] / unit - came(step)).abs() < 0.15, "{column} {step} {}", said[step]));
        let peak = of("a/x", &format!("peak_{column}"))[0] / unit;
        assert!((2.7..3.0).contains(&peak), "{column} {peak}");
    }
    let said = of("a/x", "runs_per_hour");
    for (step, runs) in said.iter().enumerate() {
        let want = if at_work(&(end + 1 + step as i64)) { 2.0 } else { 0.0 };
        assert!((runs - want).abs() < 0.2, "{step} {runs}");
    }
    assert!(of("b/y", "io_bytes_per_s").iter().chain(&of("b/y", "runs_per_hour")).all(|value| value.is_nan()));
    let nightly = of("acme ci/nightly", "runs_per_hour");
    assert!((nightly.iter().sum::<f64>() - 1.0).abs() < 0.5, "{nightly:?}");
    assert!(of("acme ci/nightly", "cpu_cores").iter().all(|value| value.is_nan()));
    // Limits rest on what they rested on before there were runs.
    let confidence = of("a/x", col::CONFIDENCE)[0];
    assert_eq!(confidence, of("a/x", "confidence_cpu_cores")[0].min(of("a/x", "confidence_memory_bytes")[0]));
    let before: Vec<f64> = ["cpu_cores", "memory_bytes"].iter().flat_map(|column| of("a/x", column)).collect();
    forecast(input(None), &spec, &mut Choices::default(), &out, &|_| ()).unwrap();
    let alone = Frame::read(&out).unwrap();
    let first = |column: &str| alone.numbers(column).unwrap()[..24].to_vec();
    assert_eq!(before, [first("cpu_cores"), first("memory_bytes")].concat());
    // The next night, a day later: nothing is chosen anew, of any measure.
    let rows = |seed| days(15, seed);
    write_traffic(&hours, &[("a/x", rows(1)), ("b/y", rows(2))], &|name, cores| (name == "a/x").then_some(cores * 3e6));
    let later = end + 24;
    counted.extend((end + 1..=later).filter(at_work).map(|hour| ("a/x", hour, 2)));
    counted.push(("acme ci/nightly", later - 8, 1));
    counted.sort_by_key(|run| (run.0, run.1));
    write_runs(&runs, &counted);
    let spec = ShadowSpec::new(Timestamp(later * HOUR + HOUR - 1), 24);
    let night = forecast(input(Some(&*runs)), &spec, &mut choices, &out, &|_| ()).unwrap();
    assert_eq!((night.kept, night.all.series), (8, 8));
}

#[test]
fn a_replay_says_how_much_it_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let [hours, schedule] = ["hours", "schedule"].map(|name| folder.path().join(name));
    let names: Vec<String> = (0..MOST_RESOURCES + 2).map(|n| format!("dev/s{n}")).collect();
    let of_each: Vec<(&str, Rows)> = names.iter().map(|name| (name.as_str(), days(4, 1))).collect();
    write_hours(&hours, &of_each);
    // The first come before there are two days of data, and are among those that are left out.
    let deployed: Vec<String> = (0..MOST_DEPLOYMENTS + 3).map(|n| format!("d{n}")).collect();
    let early = START + 1;
    let events: Vec<Given> = deployed
        .iter()
        .enumerate()
        .map(|(n, id)| {
            let at = if n + 1 == deployed.len() { START + 72 } else { early };
            Given(id, Some("dev"), "deployment", at, at + 1, None)
        })
        .collect();
    write_schedule(&schedule, &events);
    let spec = ShadowSpec::new(Timestamp((START + 96) * HOUR), 24);
    let replayed = replay(&hours, &schedule, &spec, Timestamp(START * HOUR)).unwrap();
    assert_eq!((replayed.deployments_left_out, replayed.resources_left_out), (3, 2));
    assert_eq!(replayed.rows.iter().filter(|row| row.figure == "cpu_cores").count(), MOST_RESOURCES);
}
