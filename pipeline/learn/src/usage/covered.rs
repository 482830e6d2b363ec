//! Which hours the samples of a resource cover. A hundred samples of one night are one night.

use super::{Sample, Usage, env_of};
use domain::plan::{Coverage, FINE_INTERVAL_S, WEEK_HOURS};
use domain::time::{DAY, HOUR, SECOND};
use std::collections::{BTreeMap, BTreeSet};

/// What is older says little of today: five weeks, so that the end of a month is among them.
const WINDOW: i64 = 35 * DAY;
/// An hour counts as seen where so much of it is covered, in microseconds.
const MOST_OF_AN_HOUR: i64 = HOUR / 2;
/// A sample stands for an hour at the most: the memory in it is that of one moment, however long its interval, and one
/// reading a day says nothing of the day.
const LONGEST_S: f64 = 3_600.0;

/// Hours since 1970 → microseconds of them that samples cover, over the last five weeks with data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Covered {
    hours: BTreeMap<i64, i64>,
}

impl Covered {
    /// Of samples in order of time. Where they overlap, time counts once; one that is shorter than five minutes stands for
    /// five, as a collector that looks every five minutes means it.
    pub(super) fn of(samples: &[Sample]) -> Self {
        let mut hours: BTreeMap<i64, i64> = BTreeMap::new();
        let Some(newest) = samples.last().map(|s| s.ts.0) else { return Self::default() };
        let mut until = newest - WINDOW;
        for sample in samples.iter().filter(|s| s.ts.0 > newest - WINDOW) {
            let interval = (sample.interval_s.clamp(FINE_INTERVAL_S, LONGEST_S) * SECOND as f64) as i64;
            let mut from = (sample.ts.0 - interval).max(until);
            until = until.max(sample.ts.0);
            while from < sample.ts.0 {
                let hour = from.div_euclid(HOUR);
                let end = ((hour + 1) * HOUR).min(sample.ts.0);
                *hours.entry(hour).or_default() += end - from;
                from = end;
            }
        }
        Self { hours }
    }

    fn seen(&self) -> impl Iterator<Item = i64> {
        self.hours.iter().filter(|(_, covered)| **covered >= MOST_OF_AN_HOUR).map(|(hour, _)| *hour)
    }
}

impl Usage {
    /// How much of the time is known of each resource. An hour without a sample of it, between its first and its last, in
    /// which another resource of its environment was sampled, is known: it was stopped.
    pub(crate) fn coverage(&self) -> BTreeMap<&str, Coverage> {
        let mut environments: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for (resource, covered) in &self.covered {
            environments.entry(env_of(resource)).or_default().extend(covered.seen());
        }
        let coverage = self.covered.iter().map(|(resource, covered)| {
            let mut hours: BTreeSet<i64> = covered.seen().collect();
            if let (Some((first, _)), Some((last, _))) =
                (covered.hours.first_key_value(), covered.hours.last_key_value())
            {
                let others = environments.get(env_of(resource)).into_iter().flat_map(|seen| seen.range(*first..=*last));
                hours.extend(others.filter(|hour| !covered.hours.contains_key(hour)));
            }
            let week: BTreeSet<i64> = hours.iter().map(|hour| hour.rem_euclid(i64::from(WEEK_HOURS))).collect();
            let own = covered.hours.values().sum::<i64>() as f64 / HOUR as f64;
            (resource.as_str(), Coverage { hours: own, week_hours: week.len() as u32 })
        });
        coverage.collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::usage::tests::{Row, load};
    use domain::plan::Coverage;
    use domain::time::{DAY, HOUR, MINUTE};

    fn rows(resource: &str, minutes: impl Iterator<Item = i64>, interval_s: f64) -> Vec<Row> {
        minutes.map(|minute| Row { interval_s, ..Row::new(resource, minute * MINUTE, 0.1, 1e8) }).collect()
    }

    fn coverage(rows: &[Row], resource: &str) -> Coverage {
        load(rows).coverage()[resource]
    }

    #[test]
    fn a_hundred_samples_of_two_nights_cover_two_hours_of_the_week() {
        let nights = (0..2).flat_map(|night| (0..55).map(move |m| (night * 24 + 3) * 60 + m));
        let seen = coverage(&rows("a/b", nights, 60.0), "a/b");
        assert!(seen.week_hours == 2 && seen.hours < 2.2, "{seen:?}");
        assert!(!seen.is_enough(110));
    }

    #[test]
    fn a_week_of_half_hours_is_a_week_and_a_weekend_is_none() {
        let half_hours = |days: i64| (1..=days * 48).map(|i| i * 30);
        let week = coverage(&rows("a/b", half_hours(7), 1800.0), "a/b");
        assert_eq!((week.week_hours, week.hours), (168, 168.0));
        assert!(!coverage(&rows("a/b", half_hours(2), 1800.0), "a/b").is_enough(1000));
        assert!(!coverage(&rows("a/b", half_hours(5), 1800.0), "a/b").is_enough(1000), "five working days");
    }

    #[test]
    fn a_reading_a_day_or_every_six_hours_is_no_week_whatever_its_interval() {
        for (hours, interval_s) in [(24, 86_400.0), (24, 604_800.0), (6, 21_600.0)] {
            let seen = coverage(&rows("a/b", (1..=120 * 24 / hours).map(|i| i * hours * 60), interval_s), "a/b");
            assert!(seen.week_hours <= 28 && !seen.is_enough(120), "{interval_s}: {seen:?}");
        }
        assert!(coverage(&rows("a/b", (1..=14 * 24).map(|i| i * 60), 3_600.0), "a/b").is_enough(336));
    }

    #[test]
    fn overlapping_samples_count_once_and_sparse_short_ones_for_five_minutes() {
        let overlapping = coverage(&rows("a/b", (1..=60).map(|i| i * 10), 1800.0), "a/b");
        assert!((overlapping.hours - (10.0 + 20.0 / 60.0)).abs() < 1e-9, "{overlapping:?}");
        let sparse = coverage(&rows("a/b", (0..14 * 72).map(|i| i * 20), 60.0), "a/b");
        assert!(!sparse.is_enough(1008), "5 of every 20 minutes: {sparse:?}");
    }

    #[test]
    fn what_is_stopped_while_its_environment_is_recorded_is_known_to_be_stopped() {
        let office = |resource: &str| {
            rows(
                resource,
                (0..14 * 288).map(|i| i * 5).filter(|m| (m / 1440) % 7 < 5 && (9..18).contains(&(m / 60 % 24))),
                300.0,
            )
        };
        let mut all = office("dev/web");
        assert!(!coverage(&all, "dev/web").is_enough(1000));
        all.extend(rows("dev/db", (0..14 * 288).map(|i| i * 5), 300.0));
        assert!(coverage(&all, "dev/web").is_enough(1000));
        // Two nights stay two nights, whatever else was recorded.
        all.extend(rows("dev/new", (0..110).map(|m| 13 * 1440 + m), 60.0));
        assert!(!coverage(&all, "dev/new").is_enough(1000));
    }

    #[test]
    fn what_is_older_than_five_weeks_does_not_count() {
        let mut old = rows("a/b", (1..=7 * 48).map(|i| i * 30), 1800.0);
        old.extend(rows("a/b", std::iter::once(60 * DAY / MINUTE), 1800.0));
        let seen = coverage(&old, "a/b");
        assert!(seen.hours < 1.0, "{seen:?} {HOUR}");
    }
}
