//! What was known of earlier runs at the moment a run started. Owns the rule that nothing comes from the future:
//! a run counts only from its end on, in order of ending, whatever the order of starting.

mod figures;

use crate::metrics::{mean, quantile};
use crate::runs::Runs;
use crate::trees::Table;
use domain::Timestamp;
use figures::{at_share, fading_mean, sorted_prefixes, spread, trend};
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};

/// The names of the features of a past, and whether each says how some level lies to the usual one. Values are log1p; those
/// from `last1` to `repo_surprise` that are values, and not counts, shares or spreads, are relative to `base`.
pub(crate) const FEATURES: [(&str, bool); 59] = [
    ("base", false),
    ("last1", true),
    ("last2", true),
    ("last3", true),
    ("last4", true),
    ("last5", true),
    ("median3", true),
    ("median10", true),
    ("median20", true),
    ("median50", true),
    ("lowest5", true),
    ("highest5", true),
    ("q10_of_20", true),
    ("q90_of_20", true),
    ("q25_of_50", true),
    ("q75_of_50", true),
    ("q90_of_50", true),
    ("q98_of_50", true),
    ("recent_mean", true),
    ("long_mean", true),
    ("sd5", false),
    ("sd20", false),
    ("sd50", false),
    ("trend10", false),
    ("finished", false),
    ("failed_share5", false),
    ("failed_share20", false),
    ("streak", false),
    ("last_success", true),
    ("successes5", true),
    ("last_failure", true),
    ("failures5", true),
    ("since_prev_start", false),
    ("since_prev_end", false),
    ("running_now", false),
    ("oldest_running", false),
    ("same_kind5", true),
    ("same_member5", true),
    ("same_author5", true),
    ("same_jobs1", true),
    ("same_jobs_successes5", true),
    ("same_jobs_share20", false),
    ("per_job5", true),
    ("branch_last", true),
    ("branch_median5", true),
    ("since_branch_end", false),
    ("similar", true),
    ("similar_spread", false),
    ("similar_success", true),
    ("surprise_size20", false),
    ("surprise5", false),
    ("surprise_q90", false),
    ("jobs_vs_last", false),
    ("sloc_vs_last", false),
    ("tests_vs_last", false),
    ("churn_vs_last", false),
    ("repo_surprise10", false),
    ("language_level", true),
    ("everybody_level", true),
];

/// Whether a feature is the logarithm of a level over the usual one.
pub(crate) fn is_relative(name: &str) -> bool {
    FEATURES.contains(&(name, true))
}

/// Runs of a job that are remembered.
const WINDOW: usize = 100;
/// Finished runs of a language, or of everybody, of which the median is the level that a newcomer starts from.
const POOL: usize = 200;
/// One run in so many is learnt from a second time, as if its repository were new: with none to eleven earlier runs.
/// Few real runs are the first of their repository; without these the model would hardly know newcomers.
const COPY_ONE_IN: usize = 24;
const COPY_KEEPS: usize = 12;

/// The past of one run in plain numbers, for what is simpler than a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    /// The last finished run of the job, log1p; NaN: none yet.
    pub(crate) last: f64,
    /// Median of the last 5.
    pub(crate) median5: f64,
    /// Median of the last 20.
    pub(crate) median20: f64,
    /// The median of 5, else of the repository's last 20, of the language's or everybody's last 200; NaN where nothing
    /// has finished.
    pub(crate) base: f64,
    /// Runs of the job, and of the repository, that had finished.
    pub(crate) finished: usize,
    pub(crate) repo_finished: usize,
}

/// Pasts of all runs, and of those that are also seen as if they were their repository's first.
pub(crate) struct History {
    /// Per run.
    pub(crate) past: Vec<Past>,
    /// Of each copy: its run, and its base.
    pub(crate) copies: Vec<(u32, f64)>,
    /// Per run, then per copy.
    pub(crate) features: Table,
}

#[derive(Default)]
struct Job {
    /// Finished runs, in order of ending.
    last: VecDeque<usize>,
    finished: usize,
    running: BTreeSet<(Timestamp, usize)>,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
}

#[derive(Default)]
struct Repo {
    jobs: HashMap<usize, Job>,
    last: VecDeque<usize>,
    finished: usize,
}

/// What newcomers start from.
#[derive(Clone, Copy)]
struct Levels {
    language: f64,
    everybody: f64,
}

fn push<T>(queue: &mut VecDeque<T>, value: T, keep: usize) {
    if queue.len() == keep {
        queue.pop_front();
    }
    queue.push_back(value);
}

/// Calls `ended` for every run that had ended when one starts, in order of ending, and then `started` for that one.
pub(crate) fn in_time(runs: &Runs, rows: &[usize], mut each: impl FnMut(Step)) {
    let mut running: BinaryHeap<Reverse<(Timestamp, usize)>> = BinaryHeap::new();
    for &row in rows {
        while let Some(Reverse((_, f))) = running.peek().copied().filter(|Reverse((t, _))| *t <= runs.started[row]) {
            running.pop();
            each(Step::Ended(f));
        }
        each(Step::Started(row));
        running.push(Reverse((runs.ended[row], row)));
    }
}

/// What happens to a row, next in time.
pub(crate) enum Step {
    Ended(usize),
    Started(usize),
}

/// The pasts of all runs, each repository on its own thread.
pub(crate) fn of(runs: &Runs) -> History {
    let levels = levels(runs);
    let mut repos = vec![Vec::new(); runs.repo.names.len()];
    (0..runs.len()).for_each(|row| repos[runs.repo.of[row]].push(row));
    let walked: Vec<Walked> = repos.par_iter().map(|rows| walk(runs, rows, &levels)).collect();

    let nan = f64::NAN;
    let nothing = Past { last: nan, median5: nan, median20: nan, base: nan, finished: 0, repo_finished: 0 };
    let mut history = History { past: vec![nothing; runs.len()], copies: Vec::new(), features: Table::default() };
    let copies = walked.iter().map(|w| w.copies.len()).sum::<usize>();
    let mut columns = vec![vec![f32::NAN; runs.len() + copies]; FEATURES.len()];
    let mut set = |at: usize, features: &[f32; FEATURES.len()]| {
        columns.iter_mut().zip(features).for_each(|(column, value)| column[at] = *value);
    };
    for (rows, walked) in repos.iter().zip(walked) {
        for (&row, (past, features)) in rows.iter().zip(walked.rows) {
            history.past[row] = past;
            set(row, &features);
        }
        for (row, past, features) in walked.copies {
            set(runs.len() + history.copies.len(), &features);
            history.copies.push((row as u32, past.base));
        }
    }
    history.features = Table { columns };
    history
}

/// The levels at each start.
fn levels(runs: &Runs) -> Vec<Levels> {
    #[derive(Default)]
    struct Pool {
        last: VecDeque<f64>,
        sorted: Vec<f64>,
    }
    impl Pool {
        fn add(&mut self, value: f64) {
            if self.last.len() == POOL {
                let oldest = self.last.pop_front().unwrap_or_default();
                self.sorted.remove(self.sorted.partition_point(|v| *v < oldest));
            }
            self.last.push_back(value);
            self.sorted.insert(self.sorted.partition_point(|v| *v < value), value);
        }
    }
    let mut languages: Vec<Pool> = runs.language.names.iter().map(|_| Pool::default()).collect();
    let mut everybody = Pool::default();
    let mut levels = Vec::with_capacity(runs.len());
    let rows: Vec<usize> = (0..runs.len()).collect();
    in_time(runs, &rows, |step| match step {
        Step::Ended(row) => {
            languages[runs.language.of[row]].add(runs.value[row]);
            everybody.add(runs.value[row]);
        }
        Step::Started(row) => levels.push(Levels {
            language: at_share(&languages[runs.language.of[row]].sorted, 0.5),
            everybody: at_share(&everybody.sorted, 0.5),
        }),
    });
    levels
}

struct Walked {
    rows: Vec<(Past, [f32; FEATURES.len()])>,
    copies: Vec<(usize, Past, [f32; FEATURES.len()])>,
}

/// One repository from its first run to its last.
fn walk(runs: &Runs, rows: &[usize], levels: &[Levels]) -> Walked {
    let mut walked = Walked { rows: Vec::with_capacity(rows.len()), copies: Vec::new() };
    let mut repo = Repo::default();
    // How far each run's value lay above its base, by its place in `rows`.
    let mut surprise: HashMap<usize, f64> = HashMap::new();
    in_time(runs, rows, |step| match step {
        Step::Ended(row) => {
            let job = repo.jobs.entry(runs.job.of[row]).or_default();
            push(&mut job.last, row, WINDOW);
            job.finished += 1;
            job.running.remove(&(runs.started[row], row));
            job.ended = Some(runs.ended[row]);
            push(&mut repo.last, row, 20);
            repo.finished += 1;
        }
        Step::Started(row) => {
            let job = repo.jobs.entry(runs.job.of[row]).or_default();
            let back: Vec<usize> = job.last.iter().rev().copied().collect();
            let seen = Seen { runs, now: row, job, surprise: &surprise, levels: levels[row] };
            let (past, features) = seen.look_back(&back, job.finished, Some(&repo.last), repo.finished);
            if runs.is_expected(row) {
                walked.rows.push((past, features));
                return;
            }
            let scattered = scatter(row);
            if scattered.is_multiple_of(COPY_ONE_IN) {
                let keep = (scattered / COPY_ONE_IN % COPY_KEEPS).min(back.len());
                let (past, features) = seen.look_back(&back[..keep], keep, None, keep);
                walked.copies.push((row, past, features));
            }
            surprise.insert(row, runs.value[row] - past.base);
            walked.rows.push((past, features));
            let job = repo.jobs.entry(runs.job.of[row]).or_default();
            job.running.insert((runs.started[row], row));
            job.started = Some(runs.started[row]);
        }
    });
    walked
}

/// A number without pattern: which runs are copied must not go with their order.
fn scatter(row: usize) -> usize {
    (crate::random::Random(row as u64).next() >> 8) as usize
}

/// The moment at which a run starts.
struct Seen<'a> {
    runs: &'a Runs,
    now: usize,
    job: &'a Job,
    surprise: &'a HashMap<usize, f64>,
    levels: Levels,
}

impl Seen<'_> {
    /// `back`: finished runs of the job, the last to end first; `finished`: how many there were in all.
    fn look_back(
        &self,
        back: &[usize],
        finished: usize,
        repo: Option<&VecDeque<usize>>,
        repo_finished: usize,
    ) -> (Past, [f32; FEATURES.len()]) {
        let (runs, now) = (self.runs, self.now);
        let value = |row: usize| runs.value[row];
        let last = |k: usize| back.get(k).map_or(f64::NAN, |&row| value(row));
        let recent: Vec<f64> = back.iter().take(50).map(|&row| value(row)).collect();
        let [three, five, ten, twenty, fifty] = sorted_prefixes(&recent, [3, 5, 10, 20, 50]);
        let repo_median = repo.map_or(f64::NAN, |repo| quantile(repo.iter().map(|&row| value(row)), 0.5));
        let choices = [at_share(&five, 0.5), repo_median, self.levels.language, self.levels.everybody];
        let base = choices.into_iter().find(|level| !level.is_nan()).unwrap_or(f64::NAN);

        let like = |n: usize, same: &dyn Fn(usize) -> bool| {
            quantile(back.iter().copied().filter(|&row| same(row)).take(n).map(value), 0.5) - base
        };
        let same = |names: &crate::runs::Names, row: usize| names.known(row) && names.of[row] == names.of[now];
        let equal = |column: &[f64], row: usize| column[row] == column[now];
        let (jobs, sloc, tests) = (runs.known("jobs"), runs.known("sloc"), runs.known("test_lines_per_kloc"));
        let (kind, member) = (runs.known("is_pr"), runs.known("by_member"));
        let failed = |row: usize| runs.failed[row];
        let failed_share = |n: usize| mean(back.iter().take(n).map(|&row| f64::from(failed(row))));
        let run_of = |state: bool| back.iter().take_while(|&&row| failed(row) == state).count() as f64;
        // Log of the seconds since a moment, so that a minute and a month fit on one scale.
        let since = |then: Option<Timestamp>| {
            then.map_or(f64::NAN, |t| ((runs.started[now].0 - t.0) as f64 / 1e6).max(0.0).ln_1p())
        };
        let surprise = |n: usize| back.iter().take(n).map(|row| self.surprise.get(row).copied().unwrap_or(f64::NAN));
        let known = |values: &mut dyn Iterator<Item = f64>| mean(values.filter(|v| !v.is_nan()));
        let lone_jobs = |row: usize| jobs[row].max(1.0).ln();
        let branch = back.iter().find(|&&row| same(&runs.branch, row));
        let (similar, similar_spread) = self.similar(back, &|row, age| {
            let apart = |column: &[f64]| Some((column[row] - column[now]).abs()).filter(|d| !d.is_nan()).unwrap_or(0.0);
            3.0 * Some((lone_jobs(row) - lone_jobs(now)).abs()).filter(|d| !d.is_nan()).unwrap_or(0.0)
                + 0.3 * apart(&runs.churn)
                + 0.7 * apart(kind)
                + 0.3 * apart(member)
                + 0.5 * f64::from(!same(&runs.branch, row))
                + 0.08 * age
        });
        let (similar_success, _) = self.similar(back, &|row, age| {
            if failed(row) { f64::INFINITY } else { 3.0 * (lone_jobs(row) - lone_jobs(now)).abs() + 0.08 * age }
        });
        let vs_last = |of: &dyn Fn(usize) -> f64| back.first().map_or(f64::NAN, |&row| of(now) - of(row));
        let newcomer = back.is_empty() && repo.is_none();

        let features = [
            base,
            last(0) - base,
            last(1) - base,
            last(2) - base,
            last(3) - base,
            last(4) - base,
            at_share(&three, 0.5) - base,
            at_share(&ten, 0.5) - base,
            at_share(&twenty, 0.5) - base,
            at_share(&fifty, 0.5) - base,
            at_share(&five, 0.0) - base,
            at_share(&five, 1.0) - base,
            at_share(&twenty, 0.1) - base,
            at_share(&twenty, 0.9) - base,
            at_share(&fifty, 0.25) - base,
            at_share(&fifty, 0.75) - base,
            at_share(&fifty, 0.9) - base,
            at_share(&fifty, 0.98) - base,
            fading_mean(&recent, 0.7) - base,
            mean(back.iter().map(|&row| value(row))) - base,
            spread(&five),
            spread(&twenty),
            spread(&fifty),
            trend(&recent[..recent.len().min(10)]),
            (finished as f64).ln_1p(),
            failed_share(5),
            failed_share(20),
            if back.is_empty() { f64::NAN } else { run_of(false) - run_of(true) },
            like(1, &|row| !failed(row)),
            like(5, &|row| !failed(row)),
            like(1, &failed),
            like(5, &failed),
            if newcomer { f64::NAN } else { since(self.job.started) },
            if newcomer { f64::NAN } else { since(self.job.ended) },
            if newcomer { 0.0 } else { self.job.running.len() as f64 },
            if newcomer { f64::NAN } else { since(self.job.running.first().map(|(start, _)| *start)) - base },
            like(5, &|row| equal(kind, row)),
            like(5, &|row| equal(member, row)),
            like(5, &|row| same(&runs.author, row)),
            like(1, &|row| equal(jobs, row)),
            like(5, &|row| equal(jobs, row) && !failed(row)),
            mean(back.iter().take(20).map(|&row| f64::from(equal(jobs, row)))),
            quantile(back.iter().take(5).map(|&row| value(row) - lone_jobs(row)), 0.5) + lone_jobs(now) - base,
            branch.map_or(f64::NAN, |&row| value(row)) - base,
            like(5, &|row| same(&runs.branch, row)),
            since(branch.map(|&row| runs.ended[row])),
            similar - base,
            similar_spread,
            similar_success - base,
            known(&mut surprise(20).map(f64::abs)),
            known(&mut surprise(5)),
            quantile(surprise(20), 0.9),
            vs_last(&lone_jobs),
            vs_last(&|row| sloc[row].ln_1p()),
            vs_last(&|row| tests[row].ln_1p()),
            vs_last(&|row| runs.churn[row]),
            known(&mut repo.into_iter().flatten().rev().take(10).filter_map(|row| self.surprise.get(row).copied())),
            self.levels.language - base,
            self.levels.everybody - base,
        ];
        let (median5, median20) = (at_share(&five, 0.5), at_share(&twenty, 0.5));
        let past = Past { last: last(0), median5, median20, base, finished, repo_finished };
        (past, features.map(|v| if v.is_finite() { v as f32 } else { f32::NAN }))
    }

    /// Median and mean absolute deviation of earlier values, each weighing less the further it is from this run.
    fn similar(&self, back: &[usize], distance: &dyn Fn(usize, f64) -> f64) -> (f64, f64) {
        let weighed = back.iter().take(50).enumerate().map(|(age, &row)| {
            let weight = (-distance(row, age as f64)).exp();
            (self.runs.value[row], if weight.is_nan() { 0.0 } else { weight })
        });
        let mut weighed: Vec<(f64, f64)> = weighed.filter(|(_, weight)| *weight > 0.0).collect();
        weighed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = weighed.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        let middle = weighed.iter().find(|(_, weight)| {
            sum += weight;
            sum >= total / 2.0
        });
        let middle = middle.map_or(f64::NAN, |(value, _)| *value);
        (middle, weighed.iter().map(|(value, weight)| weight * (value - middle).abs()).sum::<f64>() / total)
    }
}
