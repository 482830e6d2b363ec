//! What was known of earlier runs at the moment a run started. Owns the rule that nothing comes from the future:
//! a run counts only from its end on, in order of ending, whatever the order of starting.

use crate::metrics::quantile;
use crate::runs::Runs;
use domain::Timestamp;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// The names of [`Past::features`]. Durations are log1p seconds; `_vs_` is a difference of two of them.
pub(crate) const FEATURES: [&str; 19] = [
    "base",
    "prev1_vs_base",
    "prev2_vs_base",
    "prev3_vs_base",
    "median20_vs_base",
    "lowest5_vs_base",
    "highest5_vs_base",
    "sd20",
    "failed_share5",
    "failed_last",
    "since_prev_start",
    "since_prev_end",
    "running_now",
    "finished",
    "same_kind_vs_base",
    "same_jobs_vs_base",
    "repo_last_vs_base",
    "jobs_vs_prev",
    "sloc_vs_prev",
];

/// The past of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Past {
    /// The last finished run of the job, log1p seconds; NaN: none yet.
    pub(crate) last: f64,
    /// Median of the last 5.
    pub(crate) median5: f64,
    /// Median of the last 20.
    pub(crate) median20: f64,
    /// The median of 5, or of the repository's last 20, or of everybody's last 200; NaN where nothing has finished.
    pub(crate) base: f64,
    pub(crate) features: [f64; FEATURES.len()],
}

/// A finished run, as far as later ones look at it.
#[derive(Clone, Copy)]
struct Finished {
    log_s: f64,
    failed: bool,
    is_pr: f64,
    jobs: f64,
    sloc: f64,
}

#[derive(Default)]
struct Job {
    last: VecDeque<Finished>,
    finished: usize,
    running: usize,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
}

fn push<T>(queue: &mut VecDeque<T>, value: T, keep: usize) {
    if queue.len() == keep {
        queue.pop_front();
    }
    queue.push_back(value);
}

/// The past of each run, in the order of `runs`.
pub(crate) fn of(runs: &Runs) -> Vec<Past> {
    let mut jobs: Vec<Job> = runs.job.names.iter().map(|_| Job::default()).collect();
    let mut repos: Vec<VecDeque<f64>> = runs.repo.names.iter().map(|_| VecDeque::new()).collect();
    let mut everybody = VecDeque::new();
    let mut running: BinaryHeap<Reverse<(Timestamp, usize)>> = BinaryHeap::new();
    let (is_pr, job_count, sloc) = (runs.known("is_pr"), runs.known("jobs"), runs.known("sloc"));

    let each = (0..runs.len()).map(|i| {
        while let Some(Reverse((ended, f))) = running.peek().copied().filter(|Reverse((t, _))| *t <= runs.started[i]) {
            running.pop();
            let job = &mut jobs[runs.job.of[f]];
            let done = Finished {
                log_s: runs.log_s[f],
                failed: runs.failed[f],
                is_pr: is_pr[f],
                jobs: job_count[f],
                sloc: sloc[f],
            };
            push(&mut job.last, done, 20);
            job.finished += 1;
            job.running -= 1;
            job.ended = Some(ended);
            push(&mut repos[runs.repo.of[f]], done.log_s, 20);
            push(&mut everybody, done.log_s, 200);
        }
        let now = Finished { log_s: f64::NAN, failed: false, is_pr: is_pr[i], jobs: job_count[i], sloc: sloc[i] };
        let past = look_back(&jobs[runs.job.of[i]], &repos[runs.repo.of[i]], &everybody, now, runs.started[i]);
        let job = &mut jobs[runs.job.of[i]];
        job.running += 1;
        job.started = Some(runs.started[i]);
        running.push(Reverse((runs.ended[i], i)));
        past
    });
    each.collect()
}

fn look_back(job: &Job, repo: &VecDeque<f64>, everybody: &VecDeque<f64>, now: Finished, at: Timestamp) -> Past {
    let back = |k: usize| job.last.iter().rev().nth(k).map_or(f64::NAN, |f| f.log_s);
    let recent = |n: usize| job.last.iter().rev().take(n);
    let median = |n: usize| quantile(recent(n).map(|f| f.log_s), 0.5);
    let like = |same: &dyn Fn(&Finished) -> bool| {
        quantile(job.last.iter().rev().filter(|f| same(f)).take(5).map(|f| f.log_s), 0.5)
    };
    // Log of the seconds since a moment, so that a minute and a month fit on one scale.
    let since = |then: Option<Timestamp>| then.map_or(f64::NAN, |t| ((at.0 - t.0) as f64 / 1e6).max(0.0).ln_1p());
    let last = job.last.back();
    let failed = |n: usize| recent(n).map(|f| f64::from(f.failed)).sum::<f64>() / recent(n).count() as f64;

    let (median5, median20) = (median(5), median(20));
    let base = [median5, quantile(repo.iter().copied(), 0.5)].into_iter().find(|m| !m.is_nan());
    let base = base.unwrap_or_else(|| quantile(everybody.iter().copied(), 0.5));
    let features = [
        base,
        back(0) - base,
        back(1) - base,
        back(2) - base,
        median20 - base,
        recent(5).map(|f| f.log_s).fold(f64::NAN, f64::min) - base,
        recent(5).map(|f| f.log_s).fold(f64::NAN, f64::max) - base,
        spread(recent(20).map(|f| f.log_s)),
        failed(5),
        failed(1),
        since(job.started),
        since(job.ended),
        job.running as f64,
        (job.finished as f64).ln_1p(),
        like(&|f| f.is_pr == now.is_pr) - base,
        like(&|f| f.jobs == now.jobs) - base,
        repo.back().map_or(f64::NAN, |log_s| log_s - base),
        last.map_or(f64::NAN, |f| now.jobs.ln_1p() - f.jobs.ln_1p()),
        last.map_or(f64::NAN, |f| now.sloc.ln_1p() - f.sloc.ln_1p()),
    ];
    Past { last: back(0), median5, median20, base, features }
}

/// The standard deviation of the population; NaN of nothing.
fn spread(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (values.map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}
