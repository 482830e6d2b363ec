//! Brings the SQL tables up to date: what changed since the last time says which pull requests and which days are made
//! anew; a table whose rule does not know, or whose SQL changed, is made whole. One commit a table.

mod blocks;
mod changes;
mod days;
mod follows;
mod order;
mod pull_requests;
mod write;

use crate::delta::commit::{self, Change, Mode, Outcome, Races};
use crate::delta::table;
use crate::delta::writers::Writing;
use crate::engine::session::{Session, View};
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model::{self, SqlFile};
use changes::{Days, Parts};
use datafusion::error::DataFusionError;
use days::Expected;
use domain::Timestamp;
use domain::identity::hash128;
use follows::{Follows, Input, Rule};
use intake::events_schema;
use pull_requests::Touched;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the traces are made from.
const EVENTS: &str = "staging.events";
/// Which branches belong to which pull requests, and since when.
const BRANCHES: &str = "traces.branches";
/// Which events without a number belong to which pull requests.
const LINKS: &str = "traces.links";
/// The events of the pull requests.
const TRACES: &str = "traces.events";

/// What sorting and grouping may hold of a table that is made whole.
const SORT_BYTES: usize = 640 << 20;
/// The most that it is given when that is not enough; where there is less, the system ends it.
const SORT_MOST_BYTES: usize = SORT_BYTES << 6;

/// What happened, or would happen, to one table.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// `schema.table`.
    pub table: String,
    /// Whether it was (or would be) changed.
    pub rebuilt: bool,
    /// How much of it, and why; or why not.
    pub why: String,
    /// Rows written; none when it was not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// What there is to do.
enum Work {
    Nothing,
    Whole(String),
    Days { partition: String, inputs: Vec<Input>, days: Days },
    PullRequests(Box<Touched>),
}

impl Work {
    fn why(&self) -> String {
        match self {
            Self::Nothing => "up to date".to_owned(),
            Self::Whole(why) => why.clone(),
            Self::Days { days, .. } => match (days.first(), days.last()) {
                (Some(first), Some(last)) if first == last => format!("1 day changed, {first}"),
                (Some(first), Some(last)) => format!("{} days changed, {first} to {last}", days.len()),
                _ => "nothing in it changed".to_owned(),
            },
            Self::PullRequests(touched) => match touched.count {
                0 => "the new events are of no pull request".to_owned(),
                1 => "one pull request has new events".to_owned(),
                count => format!("{count} pull requests have new events"),
            },
        }
    }
}

/// Tables that are brought up to date together: those of the traces, or one other.
struct Step {
    files: Vec<SqlFile>,
    /// Of each file.
    rules: Vec<Option<Rule>>,
}

impl Step {
    fn follows(&self) -> Option<&Follows> {
        self.rules.first()?.as_ref().map(|rule| &rule.follows)
    }

    fn names(&self) -> String {
        self.files.iter().map(|file| file.name.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// What those that follow these tables may expect of an explanation.
    fn expect(&self, work: &Work, expected: &mut Expected) {
        let days = match work {
            Work::Days { days, .. } => days.clone(),
            Work::PullRequests(touched) => touched.trace_days.union(&touched.event_days).cloned().collect(),
            Work::Nothing | Work::Whole(_) => return,
        };
        expected.extend(self.files.iter().map(|file| (file.name.to_string(), days.clone())));
    }

    fn built(&self, work: &Work, rows: Option<Vec<u64>>) -> Vec<Built> {
        let rows = rows.unwrap_or_default();
        let built = self.files.iter().enumerate().map(|(i, file)| Built {
            table: file.name.to_string(),
            rebuilt: !matches!(work, Work::Nothing),
            why: work.why(),
            rows: rows.get(i).copied(),
        });
        built.collect()
    }
}

impl Lake {
    /// Brings the tables up to date, in the order of their references; with `full_refresh`, makes all of them whole.
    /// With `explain`, only says what it would do. `select` limits it to some tables and what they read.
    pub async fn materialize(
        &self,
        now: Timestamp,
        select: &[String],
        full_refresh: bool,
        explain: bool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Built>, LakeError> {
        let _writing = if explain { None } else { Some(Writing::begin(&self.store, "materialize").await?) };
        if !explain {
            commit::widen(&self.store, &days::name(EVENTS), &events_schema()).await?;
        }
        let session = self.builder(now).await?;
        let files = selected(model::materialized(&session.context)?, select, &session)?;
        let whole = full_refresh.then_some("full refresh");
        let steps = steps(files)?;
        if !explain {
            return self.bring_all(session, now, steps, whole, progress).await;
        }
        let (mut built, mut expected) = (Vec::new(), Expected::new());
        for step in steps {
            let work = match whole {
                Some(why) => Work::Whole(why.to_owned()),
                None => self.work(&session, &step, &expected, &built).await?,
            };
            step.expect(&work, &mut expected);
            built.extend(step.built(&work, None));
        }
        Ok(built)
    }

    /// The session that tables are made in.
    async fn builder(&self, now: Timestamp) -> Result<Session, LakeError> {
        self.session_of(now, View { holds_small_files: true, ..View::default() }).await
    }

    /// Brings one step up to date. After a lost race, looks again at what the winner left to do.
    async fn bring(
        &self,
        session: &mut Session,
        now: Timestamp,
        step: &Step,
        whole: Option<&str>,
        mut work: Work,
    ) -> Result<Vec<Built>, LakeError> {
        let mut races = Races::over(step.names());
        loop {
            let rows = match &work {
                Work::Nothing => return Ok(step.built(&work, None)),
                Work::Whole(_) => self.make_whole(session, step).await?,
                Work::Days { partition, inputs, days } => {
                    let [file] = &step.files[..] else { return Err(LakeError::NoTable(step.names())) };
                    let origin = origin(file, session)?;
                    let rows = self.replace_days(session, file, partition, inputs, days, origin).await?;
                    self.register(session, &file.name).await?;
                    rows.map(|rows| vec![rows])
                }
                Work::PullRequests(touched) => self.follow_pull_requests(session, &step.files, touched).await?,
            };
            if let Some(rows) = rows {
                return Ok(step.built(&work, Some(rows)));
            }
            races.lose()?;
            *session = self.builder(now).await?;
            work = self.to_do(session, step, whole).await?;
        }
    }

    /// What there is to do for one step. `expected` and `before` say what an explanation would have done so far.
    async fn work(
        &self,
        session: &Session,
        step: &Step,
        expected: &Expected,
        before: &[Built],
    ) -> Result<Work, LakeError> {
        let mut last = Vec::new();
        for (file, rule) in step.files.iter().zip(&step.rules) {
            let whole = |why: &str| Ok(Work::Whole(why.to_owned()));
            let Some(parts) = Parts::open(&self.store, &file.name).await? else { return whole("first build") };
            let Some(found) = table::origin(parts.table()).await else { return whole("its origin is unknown") };
            let origin = origin(file, session)?;
            if found["sql"] != origin["sql"] {
                return whole("its SQL changed");
            }
            let partition = rule.as_ref().map(|rule| rule.partition.clone());
            if parts.partition() != partition {
                return whole("it is kept by other days");
            }
            let inputs = origin["inputs"].as_object().cloned().unwrap_or_default();
            let is_new = |input: &str| {
                found["inputs"][input] != inputs[input]
                    || before.iter().any(|built| built.rebuilt && built.table == input)
            };
            let changed: BTreeSet<String> = inputs.keys().filter(|input| is_new(input)).cloned().collect();
            last.push((found, changed));
        }
        match step.follows() {
            _ if last.iter().all(|(_, changed)| changed.is_empty()) => Ok(Work::Nothing),
            Some(Follows::PullRequests) => self.work_on_pull_requests(session, &last).await,
            Some(Follows::Tables(inputs)) => {
                let [(last, changed)] = &last[..] else { return Err(LakeError::NoTable(step.names())) };
                let stranger = changed.iter().find(|table| !inputs.iter().any(|input| input.table == **table));
                let whole = before.iter().find(|built| {
                    built.rebuilt && changed.contains(&built.table) && !expected.contains_key(&built.table)
                });
                if let Some(table) = stranger.or(whole.map(|built| &built.table)) {
                    return Ok(Work::Whole(format!(
                        "{table} {}",
                        if before.is_empty() { "changed" } else { "would change" }
                    )));
                }
                let partition = step.rules.iter().flatten().map(|rule| rule.partition.clone()).collect();
                match self.days_to_do(session, inputs, last, expected).await? {
                    Ok(days) => Ok(Work::Days { partition, inputs: inputs.clone(), days }),
                    Err(why) => Ok(Work::Whole(why)),
                }
            }
            None => {
                let changed: Vec<&str> = last.iter().flat_map(|(_, c)| c.iter().map(String::as_str)).collect();
                Ok(Work::Whole(format!("{} changed", changed.join(", "))))
            }
        }
    }

    /// What new events touch, when all three tables were last made from the same events.
    async fn work_on_pull_requests(
        &self,
        session: &Session,
        last: &[(Value, BTreeSet<String>)],
    ) -> Result<Work, LakeError> {
        let versions: BTreeSet<Option<i64>> = last.iter().map(|(last, _)| last["inputs"][EVENTS].as_i64()).collect();
        let now = session.versions.get(EVENTS).copied().unwrap_or(-1);
        let from = match versions.into_iter().collect::<Vec<_>>()[..] {
            [Some(from)] if from != now => from,
            _ => return Ok(Work::Whole("the last time was broken off".to_owned())),
        };
        let Some(changes) = changes::between(&self.store, &days::name(EVENTS), from, now).await? else {
            return Ok(Work::Whole("the log of staging.events does not reach back to the last time".to_owned()));
        };
        Ok(match self.touched(session, &changes).await? {
            Ok(touched) => Work::PullRequests(Box::new(touched)),
            Err(why) => Work::Whole(why),
        })
    }

    /// Writes a table whole. Sorts go to disk, joins cannot: of a history whose pull requests alone are more than the
    /// memory for it, what was begun is left to `vacuum`, and it is done again with more.
    async fn write_whole(
        &self,
        session: &Session,
        file: &SqlFile,
        partition: Option<&str>,
    ) -> Result<write::Written, LakeError> {
        let mut bytes = SORT_BYTES;
        loop {
            let frame = model::plan(&session.within(bytes).await?, file).await?;
            match write::frame(&self.store, &file.name, frame, partition).await {
                Err(LakeError::Sql { source, .. }) if source.out_of_memory && bytes < SORT_MOST_BYTES => bytes *= 4,
                done => return done,
            }
        }
    }

    /// Makes tables whole; the rows of each, or none when another writer was first.
    async fn make_whole(&self, session: &mut Session, step: &Step) -> Result<Option<Vec<u64>>, LakeError> {
        let mut all = Vec::new();
        for (file, rule) in step.files.iter().zip(&step.rules) {
            let partition = rule.as_ref().map(|rule| rule.partition.as_str());
            let current = table::open(&self.store, &file.name).await?;
            let origin = origin(file, session)?;
            let new = match rule {
                Some(Rule { partition, follows: Follows::Tables(inputs) }) => {
                    self.write_days(session, file, partition, inputs, None).await?
                }
                Some(Rule { partition, .. }) if model::references(file, &session.context)?.contains(LINKS) => {
                    self.write_traces(session, file, partition).await?
                }
                // Made whole at once: its sort is what could outgrow memory.
                _ => self.write_whole(session, file, partition).await?,
            };
            let (rows, mode) = (new.rows, Mode::Replace);
            let change = Change { schema: &new.schema, partition, adds: new.adds, mode, origin };
            match commit::commit(&self.store, &file.name, current.as_ref(), change).await? {
                Outcome::Committed(_) => all.push(rows),
                Outcome::Lost => return Ok(None),
            }
            self.register(session, &file.name).await?;
        }
        Ok(Some(all))
    }
}

/// What a table is made from: its SQL, and the version of each table that it reads.
fn origin(file: &SqlFile, session: &Session) -> Result<Value, LakeError> {
    let reads = model::references(file, &session.context)?;
    let version = |name: &String| session.versions.get(name).copied().unwrap_or(-1);
    let inputs: BTreeMap<String, i64> = reads.into_iter().map(|name| (name.clone(), version(&name))).collect();
    Ok(json!({"sql": hash128(file.text.as_bytes()), "inputs": inputs}))
}

/// The tables of the traces go together, at the place of the first of them; every other is a step of its own.
fn steps(files: Vec<SqlFile>) -> Result<Vec<Step>, LakeError> {
    let mut steps: Vec<Step> = Vec::new();
    for file in files {
        let wrong = |why: String| LakeError::sql(file.path())(DataFusionError::Plan(why));
        let rule = follows::rule(&file).map_err(wrong)?;
        let traces = |rule: Option<&Rule>| rule.is_some_and(|rule| rule.follows == Follows::PullRequests);
        let place =
            steps.iter_mut().find(|step| traces(rule.as_ref()) && step.follows() == Some(&Follows::PullRequests));
        match place {
            Some(step) => {
                step.files.push(file);
                step.rules.push(rule);
            }
            None => steps.push(Step { files: vec![file], rules: vec![rule] }),
        }
    }
    Ok(steps)
}

/// The tables that were asked for, and what they read; of the traces always all.
fn selected(files: Vec<SqlFile>, select: &[String], session: &Session) -> Result<Vec<SqlFile>, LakeError> {
    if select.is_empty() {
        return Ok(files);
    }
    let mut wanted: Vec<String> = select.to_vec();
    for name in &wanted {
        if !files.iter().any(|file| file.name.to_string() == *name) {
            return Err(LakeError::NoTable(name.clone()));
        }
    }
    let mut next = 0;
    while next < wanted.len() {
        if pull_requests::TABLES.contains(&wanted[next].as_str()) {
            wanted.extend(
                pull_requests::TABLES
                    .iter()
                    .filter(|t| !wanted.iter().any(|w| w == *t))
                    .map(|t| (*t).to_owned())
                    .collect::<Vec<_>>(),
            );
        }
        if let Some(file) = files.iter().find(|file| file.name.to_string() == wanted[next]) {
            for read in model::references(file, &session.context)? {
                if !wanted.contains(&read) {
                    wanted.push(read);
                }
            }
        }
        next += 1;
    }
    Ok(files.into_iter().filter(|file| wanted.contains(&file.name.to_string())).collect())
}
