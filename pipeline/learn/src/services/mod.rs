//! Which services a run will call and which packages it will fetch or build, before it starts: a list, the most probable
//! first, for provisioning and prefetching.
//!
//! Rates at which runs like it needed a thing are pooled from all repositories down to the same job of its own one, so
//! that a new repository borrows from the others; how much each rate tells is learnt.

mod contest;
mod data;
mod judge;
mod look;
mod past;
mod signs;
#[cfg(test)]
mod tests;

pub use data::Change;

use crate::LearnError;
use crate::card::{Evaluation, TrainSpec, Trained, verdict};
use crate::frame::Frame;
use crate::kept::{self, Kept};
use crate::metrics::mean;
use crate::model::{self, Held};
use contest::{Choice, Pupil, Ranker, strengths};
use data::Data;
use domain::Timestamp;
use domain::columns::{expected as next_runs, runs, services as col};
use domain::model::{Candidate, Card, Fold, Judged, LabelUse, Metrics, Serves};
use judge::{FIRST, Told, evaluation, metrics, needing};
use look::FACTS;
use past::{Past, stream, stream_apart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The model, for training and scoring.
pub const MODEL: &dyn model::Model = &Services;

/// The name of the model.
pub const NAME: &str = "services";
/// Fewest runs that needed something to learn from, and to judge by.
const RUNS_NEEDED: usize = 50;
const TEST_NEEDED: usize = 10;
/// Where the folds begin, as shares of the rows; the last ends where the rows end.
const ORIGINS: [f64; 2] = [0.6, 0.8];
/// Runs with needs that are learnt from: the latest. Enough for some hundred numbers, and soon done.
const LESSONS: usize = 3000;
/// Of these, the strengths are chosen by so many.
const STRENGTH_LESSONS: usize = 200;
/// The first runs of all have no past to be learnt from: one in so many is left out.
const WITHOUT_PAST: usize = 10;
/// Whose lists are as good as the best but for so much is told apart by the probabilities.
const AS_GOOD: f64 = 0.005;

/// The model as it is kept. Whatever runs needed is read from the rows whenever it is asked.
#[derive(Serialize, Deserialize)]
struct Model {
    format_version: u32,
    facts: Vec<String>,
    ranker: Ranker,
}

impl Kept for Model {
    const NAME: &'static str = NAME;
    const FORMAT: u32 = 3;

    fn check(&self) -> Result<(), String> {
        if self.facts != FACTS {
            return Err("was trained on other features than this version makes; train again".to_owned());
        }
        self.ranker.check()
    }
}

/// A thing that a change will need.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Need {
    /// A service, or a package as a package URL without version.
    pub thing: String,
    /// That it will be needed.
    pub probability: f64,
}

/// What predictors learn from: runs whose needs may be used, and how to go through them.
struct Lessons<'a> {
    data: &'a Data,
    /// All that may be looked back at, in order of start.
    rows: &'a [u32],
    /// Those learnt from.
    learnt: Vec<u32>,
    seed: u64,
}

impl<'a> Lessons<'a> {
    fn new(data: &'a Data, rows: &'a [u32], learnt: &[u32], seed: u64) -> Self {
        let learnt = &learnt[learnt.len() / WITHOUT_PAST..];
        Self { data, rows, learnt: latest(data, learnt, LESSONS), seed }
    }

    fn go(&self, learnt: &[u32], each: &mut dyn FnMut(&Past, u32)) {
        stream(self.data, &mut Past::default(), self.rows, |past, row| {
            if learnt.binary_search(&row).is_ok() {
                each(past, row);
            }
        });
    }

    fn pupil(&self) -> Pupil {
        let few = latest(self.data, &self.learnt, STRENGTH_LESSONS);
        let strengths = strengths(self.data, |each| self.go(&few, each));
        let mut pupil = Pupil::new(strengths);
        self.go(&self.learnt, &mut |past, row| pupil.hear(self.data, past, row));
        pupil
    }

    fn learn(&self, choice: Choice) -> Ranker {
        if Choice::NAIVE.contains(&choice) { self.calibrated(choice) } else { self.pupil().learn(choice, self.seed) }
    }

    /// A naive one with probabilities that come true: what it says of all says nothing of how sure it may be.
    fn calibrated(&self, choice: Choice) -> Ranker {
        let (plain, mut said, mut needed) = (Ranker::naive(choice), Vec::new(), Vec::new());
        self.go(&self.learnt, &mut |past, row| {
            for (thing, p) in plain.list(self.data, past, row, false).into_iter().take(FIRST) {
                said.push(p);
                needed.push(f64::from(u8::from(self.data.runs[row as usize].needs.binary_search(&thing).is_ok())));
            }
        });
        Ranker::calibrated(choice, &said, &needed)
    }

    /// One of each kind.
    fn field(&self) -> Vec<Ranker> {
        let pupil = self.pupil();
        let one = |choice: Choice| {
            if Choice::NAIVE.contains(&choice) { Ranker::naive(choice) } else { pupil.learn(choice, self.seed) }
        };
        Choice::ALL.map(one).into()
    }
}

/// The last rows from the one on that begins the last `needing` runs that needed something.
fn latest(data: &Data, rows: &[u32], needing: usize) -> Vec<u32> {
    let needed = |row: &&u32| !data.runs[**row as usize].needs.is_empty();
    let first = rows.iter().rev().filter(needed).nth(needing.saturating_sub(1)).copied().unwrap_or_default();
    rows.iter().copied().filter(|row| *row >= first).collect()
}

/// What each says of `asked`, from what had ended before each began.
fn say(data: &Data, rankers: &[(&Ranker, bool)], rows: &[u32], asked: &[u32]) -> Vec<Vec<Told>> {
    let mut told: Vec<Vec<Told>> = rankers.iter().map(|_| Vec::new()).collect();
    stream(data, &mut Past::default(), rows, |past, row| {
        if asked.binary_search(&row).is_ok() {
            for ((ranker, as_new), told) in rankers.iter().zip(&mut told) {
                told.push(Told { row, list: ranker.list(data, past, row, *as_new) });
            }
        }
    });
    told
}

/// The winner on `test` beside the naive ones.
fn judged(data: &Data, ranker: &Ranker, rows: &[u32], test: &[u32]) -> Evaluation {
    let naive = Choice::NAIVE.map(Ranker::naive);
    let rankers: Vec<(&Ranker, bool)> =
        [(ranker, false), (ranker, true)].into_iter().chain(naive.iter().map(|r| (r, false))).collect();
    with_naive(data, say(data, &rankers, rows, test))
}

/// Of ours, ours as of a new repository, and of each naive one.
fn with_naive(data: &Data, told: Vec<Vec<Told>>) -> Evaluation {
    let mut told = told.into_iter();
    let (ours, as_new) = (told.next().unwrap_or_default(), told.next().unwrap_or_default());
    let naive: Vec<(Choice, Vec<Told>)> = Choice::NAIVE.into_iter().zip(told).collect();
    evaluation(data, &ours, &as_new, &naive)
}

/// Who serves: the one that the folds chose, unless a naive one names more on the held-out time.
fn held_out(lessons: &Lessons, chosen: Choice, rows: &[u32], test: &[u32]) -> (Choice, Serves, Evaluation) {
    let data = lessons.data;
    let evaluation = judged(data, &lessons.learn(chosen), rows, test);
    let miss = |metrics: &Metrics| metrics.get("miss3").copied().unwrap_or(f64::INFINITY);
    let (name, ours) = (chosen.name(), miss(&evaluation.metrics));
    let naive =
        Choice::NAIVE.into_iter().filter_map(|choice| Some((choice, miss(evaluation.baselines.get(choice.name())?))));
    let serves = |choice: Choice, why: String| Serves {
        name: choice.name().to_owned(),
        baseline: Choice::NAIVE.contains(&choice),
        why,
    };
    match naive.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(choice, least)| *choice != chosen && *least < ours) {
        Some((best, least)) => {
            let why = format!(
                "{}: best of all candidates on held-out time (miss3 {least:.4}, {name} {ours:.4})",
                best.name()
            );
            (best, serves(best, why), judged(data, &lessons.learn(best), rows, test))
        }
        None => {
            let why =
                format!("{name}: best of all candidates, on earlier folds and on held-out time (miss3 {ours:.4})");
            (chosen, serves(chosen, why), evaluation)
        }
    }
}

/// Lets everybody compete on rolling origins (Tashman 2000) within `learnt`: the least mean `miss3` wins, and among equals
/// the least Brier score. Without enough runs for that, the pooled rates, which learn least.
fn compete(data: &Data, rows: &[u32], learnt: &[u32], seed: u64) -> (Choice, Vec<Candidate>) {
    let at = |share: f64| (learnt.len() as f64 * share) as usize;
    let mut folds: Vec<(Fold, Vec<Metrics>)> = Vec::new();
    for (n, origin) in ORIGINS.iter().enumerate() {
        let test = &learnt[at(*origin)..ORIGINS.get(n + 1).map_or(learnt.len(), |next| at(*next))];
        let Some(first) = test.first() else { continue };
        let (from, until) = (data.runs[*first as usize].started, data.runs[test[test.len() - 1] as usize].started);
        let train = known_by(data, learnt, from);
        if count_needing(data, &train) < RUNS_NEEDED / 2 || count_needing(data, test) < TEST_NEEDED / 2 {
            continue;
        }
        let past = known_by(data, rows, from);
        let field = Lessons::new(data, &past, &train, seed).field();
        let rankers: Vec<(&Ranker, bool)> = field.iter().map(|ranker| (ranker, false)).collect();
        let told = say(data, &rankers, rows, test);
        let (rows_train, rows_test) = (train.len(), test.len());
        let fold = Fold { from, until, rows_train, rows_test, metrics: Metrics::new() };
        folds.push((fold, told.iter().map(|told| metrics(data, told)).collect()));
    }
    let of = |place: usize, figure: &str| mean(folds.iter().map(|(_, figures)| figures[place][figure]));
    let loss = |place: usize| of(place, "miss3");
    let places: Vec<usize> = (0..Choice::ALL.len()).filter(|_| !folds.is_empty()).collect();
    let least = places.iter().map(|place| loss(*place)).fold(f64::INFINITY, f64::min);
    let as_good = places.into_iter().filter(|place| loss(*place) <= least + AS_GOOD);
    let best = as_good.min_by(|a, b| of(*a, "brier").total_cmp(&of(*b, "brier")));
    let chosen = best.map_or(Choice::Pooled, |place| Choice::ALL[place]);
    let one = |(place, choice): (usize, Choice)| Candidate {
        name: choice.name().to_owned(),
        chosen: choice == chosen,
        loss_log: loss(place),
        folds: folds.iter().map(|(fold, figures)| Fold { metrics: figures[place].clone(), ..fold.clone() }).collect(),
    };
    let mut candidates: Vec<Candidate> = Choice::ALL.into_iter().enumerate().map(one).collect();
    candidates.sort_by(|a, b| a.loss_log.total_cmp(&b.loss_log));
    (chosen, if folds.is_empty() { Vec::new() } else { candidates })
}

/// Those of `rows` that had ended by then.
fn known_by(data: &Data, rows: &[u32], by: Timestamp) -> Vec<u32> {
    rows.iter().copied().filter(|row| data.runs[*row as usize].known <= by).collect()
}

fn count_needing(data: &Data, rows: &[u32]) -> usize {
    rows.iter().filter(|row| !data.runs[**row as usize].needs.is_empty()).count()
}

/// An error with fewer than `need` of `rows` that needed something.
fn unless_enough(what: &str, data: &Data, rows: &[u32], need: usize) -> Result<(), LearnError> {
    LearnError::unless_enough(&format!("{what} runs that needed something"), count_needing(data, rows), need)
}

fn all(data: &Data) -> Vec<u32> {
    (0..data.runs.len() as u32).collect()
}

const PREDICTS: &str =
    "services that a run will call and packages that it will fetch or build, the most probable first";

/// Learns from `features.services`.
#[derive(Debug)]
struct Services;

impl model::Model for Services {
    fn name(&self) -> &'static str {
        NAME
    }

    fn view(&self) -> &'static str {
        "services"
    }

    fn train(&self, path: &Path, spec: &TrainSpec) -> Result<Trained, LearnError> {
        let data = Data::read(path, spec.until)?;
        let usable = data.seen(spec.since.unwrap_or_default());
        unless_enough("finished", &data, &usable, RUNS_NEEDED)?;
        let test = &usable[usable.len() * 4 / 5..];
        unless_enough("test", &data, test, TEST_NEEDED)?;
        let border = data.runs[test[0] as usize].started;
        let learnt = known_by(&data, &usable, border);
        unless_enough("training", &data, &learnt, RUNS_NEEDED / 2)?;

        let rows = all(&data);
        let past = known_by(&data, &rows, border);
        let (chosen, candidates) = compete(&data, &past, &learnt, spec.seed);
        let lessons = Lessons::new(&data, &past, &learnt, spec.seed);
        let (choice, serves, evaluation) = held_out(&lessons, chosen, &rows, test);
        let evaluation = evaluation.finite();
        let ranker = Lessons::new(&data, &rows, &usable, spec.seed).learn(choice);

        let card = Card {
            algorithm: match choice {
                Choice::Boosted => "boosted trees on rates pooled from all repositories to the same job (own)",
                Choice::Logistic => "logistic regression on rates pooled from all repositories to the same job (own)",
                Choice::Pooled => "rates pooled from all repositories to the same job, Beta-binomial (own)",
                naive => naive.name(),
            }
            .to_owned(),
            data_watermark: usable.iter().map(|&row| data.runs[row as usize].known).max().unwrap_or_default(),
            train_from: data.runs[usable[0] as usize].started,
            train_until: border,
            rows_train: learnt.len(),
            rows_test: evaluation.rows,
            features: FACTS.map(str::to_owned).into(),
            verdict: verdict("miss3", &evaluation, spec.seed),
            metrics: evaluation.metrics,
            baselines: evaluation.baselines,
            labels: LabelUse { measured: usable.len(), ..LabelUse::default() },
            judged: Judged { candidates, serves: vec![serves], ..Judged::default() },
            ..spec.card(NAME, PREDICTS)
        };
        let model = Model { format_version: Model::FORMAT, facts: FACTS.map(str::to_owned).into(), ranker };
        Ok(Trained { model: kept::write(&model)?, card, losses: evaluation.losses })
    }

    fn evaluate(
        &self,
        model: &[u8],
        path: &Path,
        spec: &TrainSpec,
        after: Timestamp,
    ) -> Result<Evaluation, LearnError> {
        let Model { ranker, .. } = kept::read(model)?;
        let data = Data::read(path, spec.until)?;
        let mut test = data.seen(spec.since.unwrap_or_default());
        test.retain(|row| data.runs[*row as usize].started > after);
        unless_enough("later", &data, &test, TEST_NEEDED)?;
        Ok(judged(&data, &ranker, &all(&data), &test))
    }

    fn holdout(&self, path: &Path, spec: &TrainSpec, share: f64) -> Held {
        let data = Data::read(path, spec.until)?;
        let (mut learnt, mut test) = (Vec::new(), Vec::new());
        for rows in by_repository(&data, &data.seen(spec.since.unwrap_or_default())).into_values() {
            let (first, last) = rows.split_at((rows.len() as f64 * (1.0 - share)) as usize);
            learnt.extend(first);
            test.extend(last);
        }
        learnt.sort_unstable();
        test.sort_unstable();
        unless_enough("training", &data, &learnt, RUNS_NEEDED / 2)?;
        unless_enough("test", &data, &test, TEST_NEEDED)?;
        let rows = all(&data);
        let (choice, _) = compete(&data, &rows, &learnt, spec.seed);
        let ranker = Lessons::new(&data, &rows, &learnt, spec.seed).learn(choice);
        Ok((judged(&data, &ranker, &rows, &test), learnt.len()))
    }

    // What is learnt from is known whole; of a held-out repository only its own runs that had ended, and in the `cold_`
    // figures not even these.
    fn holdout_projects(&self, path: &Path, spec: &TrainSpec, share: f64) -> Held {
        let data = Data::read(path, spec.until)?;
        let folds = ((1.0 / share).round() as usize).max(2);
        let projects: Vec<Vec<u32>> =
            by_repository(&data, &data.seen(spec.since.unwrap_or_default())).into_values().collect();
        LearnError::unless_enough("repositories", projects.len(), folds)?;
        let mut told: Vec<Vec<Told>> = (0..Choice::NAIVE.len() + 2).map(|_| Vec::new()).collect();
        let mut learnt_rows = 0;
        for fold in 0..folds {
            let of = |held: bool| projects.iter().enumerate().filter(move |(at, _)| (at % folds == fold) == held);
            let mut learnt: Vec<u32> = of(false).flat_map(|(_, rows)| rows).copied().collect();
            learnt.sort_unstable();
            unless_enough("training", &data, &learnt, RUNS_NEEDED / 2)?;
            learnt_rows += learnt.len();
            let (choice, _) = compete(&data, &learnt, &learnt, spec.seed);
            let ours = Lessons::new(&data, &learnt, &learnt, spec.seed).learn(choice);
            let naive = Choice::NAIVE.map(Ranker::naive);
            let mut known = Past::default();
            stream(&data, &mut known, &learnt, |_, _| {});
            for (_, rows) in of(true) {
                stream_apart(&data, &mut known.clone(), rows, |past, row| {
                    let rankers = [(&ours, false), (&ours, true)].into_iter().chain(naive.iter().map(|r| (r, false)));
                    for ((ranker, as_new), told) in rankers.zip(&mut told) {
                        told.push(Told { row, list: ranker.list(&data, past, row, as_new) });
                    }
                });
            }
        }
        LearnError::unless_enough("test runs that needed something", needing(&data, &told[0]).count(), TEST_NEEDED)?;
        Ok((with_naive(&data, told), learnt_rows / folds))
    }
}

/// Rows by the name of their repository.
fn by_repository<'a>(data: &'a Data, rows: &[u32]) -> BTreeMap<&'a str, Vec<u32>> {
    let mut of: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    rows.iter().for_each(|row| of.entry(data.repo_name(*row)).or_default().push(*row));
    of
}

/// What each change will need, the most probable first, at most `most` things, from the runs that had ended by `now`.
///
/// # Errors
/// A model that cannot be read; unreadable or incomplete files.
pub fn predict(
    model: &[u8],
    path: &Path,
    now: Timestamp,
    changes: &[Change],
    most: usize,
) -> Result<Vec<Vec<Need>>, LearnError> {
    let Model { ranker, .. } = kept::read(model)?;
    let mut data = Data::read(path, now)?;
    let rows = all(&data);
    let asked: Vec<u32> = changes.iter().map(|change| data.append(change, now)).collect();
    let mut past = Past::default();
    stream(&data, &mut past, &rows, |_, _| {});
    let need =
        |(thing, probability): (u32, f64)| Need { thing: data.things.names[thing as usize].clone(), probability };
    let one = |row: &u32| ranker.list(&data, &past, *row, false).into_iter().take(most).map(need).collect();
    Ok(asked.iter().map(one).collect())
}

/// What each run that is expected (`features.expected_runs`) will need, by its `run_id`: what is likelier than not, the most
/// probable first, at most `most` things. The job is as it was when it last ran; the files are those that its pull request
/// had touched by its last run, or else those of the job's last run. A job that never ran is left out.
///
/// # Errors
/// A model that cannot be read; unreadable or incomplete files.
pub fn expected(
    model: &[u8],
    path: &Path,
    expected: &Path,
    now: Timestamp,
    most: usize,
) -> Result<BTreeMap<String, Vec<Need>>, LearnError> {
    let past = Frame::read(path)?;
    let (job_key, pr_id) = (past.texts(col::JOB_KEY)?, past.texts(col::PR_ID)?);
    let [command, workflow, job] = [col::COMMAND, col::WORKFLOW, col::JOB].map(|name| past.texts(name));
    let (command, workflow, job, paths) = (command?, workflow?, job?, past.lists(col::PATHS)?);
    let (started, known) = (past.times(col::STARTED_AT)?, past.times(col::KNOWN_AT)?);
    let mut order: Vec<usize> = (0..past.rows()).filter(|&i| known[i].is_some_and(|known| known <= now)).collect();
    order.sort_by_key(|&i| started[i]);
    let last = |of: &[Option<String>]| -> BTreeMap<String, usize> {
        order.iter().filter_map(|&i| Some((of[i].clone()?, i))).collect()
    };
    let (last_of_job, last_of_pr) = (last(&job_key), last(&pr_id));

    let next = Frame::read(expected)?;
    let (ids, repos) = (next.texts(runs::RUN_ID)?, next.texts(runs::REPO)?);
    let (jobs, prs) = (next.texts(runs::JOB_KEY)?, next.texts(next_runs::PR_ID)?);
    let (mut asked, mut changes) = (Vec::new(), Vec::new());
    for row in 0..next.rows() {
        let Some(&i) = jobs[row].as_ref().and_then(|job| last_of_job.get(job)) else { continue };
        let of_pr = prs[row].as_ref().and_then(|pr| last_of_pr.get(pr));
        asked.push(ids[row].clone().unwrap_or_default());
        changes.push(Change {
            repo: repos[row].clone(),
            command: command[i].clone(),
            workflow: workflow[i].clone(),
            job: job[i].clone(),
            paths: paths[*of_pr.unwrap_or(&i)].clone(),
        });
    }
    let said = predict(model, path, now, &changes, most)?;
    let likely = |needs: Vec<Need>| needs.into_iter().filter(|need| need.probability >= 0.5).collect();
    Ok(asked.into_iter().zip(said.into_iter().map(likely)).collect())
}
