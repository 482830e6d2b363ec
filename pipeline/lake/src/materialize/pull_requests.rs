//! The tables of the traces, brought up to date for the pull requests that new events touch, and for no others.
//!
//! The SQL of the tables is the same as for a full refresh; what changes is what it sees: instead of all events only
//! those of the touched pull requests, of which the earlier ones are taken from `traces.events` itself. The questions
//! that find them are `sql/session/*.sql`. A commit then adds what is new, and writes a day anew only where a row of it
//! is no longer right.

use super::changes::{Changes, Days, Part, Parts, around, number, written};
use super::days::{in_days, name, texts};
use super::follows::Reach;
use super::{BRANCHES, EVENTS, LINKS, TRACES, write};
use crate::delta::table::{DATA_VERSION, TableName, conform, delta_schema};
use crate::engine::session::{Session, put};
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model::{self, SqlFile};
use arrow::array::{Array, TimestampMicrosecondArray};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::prelude::{DataFrame, SessionContext, col};
use domain::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How far a commit reaches in `sql/traces/links.sql`.
const SHA_DAYS: i32 = 30;

/// How far a session reaches there, in whole days.
const SESSION_DAYS: i32 = 1;

/// The tables, each after what it reads.
pub(super) const TABLES: [&str; 3] = [BRANCHES, LINKS, TRACES];

/// What new events touch.
pub(super) struct Touched {
    pull_requests: Arc<MemTable>,
    /// How many there are.
    pub(super) count: usize,
    /// Their branches, as they were.
    branches: Arc<MemTable>,
    /// The days under which those that have a trace are kept.
    pub(super) trace_days: Days,
    /// The days of the new events.
    pub(super) event_days: Days,
    staging: Parts,
    new: Arc<dyn TableProvider>,
    /// Files of new events; none when their days are taken whole, because a compaction has mixed them with others.
    files: Option<BTreeSet<String>>,
}

/// A table of the traces as it was and as it shall be, for the touched pull requests.
struct Table<'a> {
    name: TableName,
    partition: &'a str,
    parts: Parts,
    /// The days in which rows of the touched pull requests are.
    days: Days,
    /// What tells that a row is the same.
    same: &'a [&'a str],
    origin: Value,
}

impl Lake {
    /// Finds what the changes of `staging.events` touch; the reason when it is better to make the tables anew.
    pub(super) async fn touched(
        &self,
        session: &Session,
        changes: &Changes,
    ) -> Result<Result<Touched, String>, LakeError> {
        let events = name(EVENTS);
        let Some(staging) = Parts::open(&self.store, &events).await? else {
            return Ok(Err("staging.events is gone".to_owned()));
        };
        if !changes.removed.is_empty() {
            return Ok(Err("events were removed or changed".to_owned()));
        }
        let event_days = changes.days();
        let files: Option<BTreeSet<String>> =
            staging.have(&changes.added).then(|| changes.added.iter().map(|(path, _)| path.clone()).collect());
        let of_days = event_days.iter().filter_map(|day| staging.by_day.get(day)).flatten();
        let is_new = |part: &&Part| files.as_ref().is_none_or(|files| files.contains(&part.path));
        let parts: Vec<&Part> = of_days.filter(is_new).collect();
        if parts.iter().map(|part| part.rows).sum::<u64>() * 2 > staging.rows() {
            return Ok(Err("most events are new".to_owned()));
        }
        let new = staging.of(parts)?;
        let context = session.scoped(&[(name("session.new_events"), new.clone())]).await?;
        let loose = times(
            &context,
            "select max(case when sha is not null then ts end), max(case when branch is null and session is not null then ts end)
             from session.new_events where pr_id is null",
        )
        .await?;
        let reach = match loose[..] {
            [Some(_), _] => around(&event_days, Reach { before: SHA_DAYS, after: SHA_DAYS }),
            [None, Some(_)] => around(&event_days, Reach { before: SESSION_DAYS, after: SESSION_DAYS }),
            _ => Days::new(),
        };
        let near = staging.of_days(&reach)?;
        let context = session.scoped(&[(name("session.new_events"), new.clone()), (events, near)]).await?;
        let pull_requests = memory(&context, "touched").await?;
        put(&context, &name("session.touched"), pull_requests.clone())?;
        let kept = "select cast(trace_date as varchar) from session.touched where trace_date is not null";
        let trace_days = texts(&context, kept).await?;
        let Some(branches) = Parts::open(&self.store, &name(BRANCHES)).await? else {
            return Ok(Err(format!("{BRANCHES} is gone")));
        };
        put(&context, &name(BRANCHES), branches.of_days(&trace_days)?)?;
        let was = "select b.* from traces.branches b left semi join session.touched t on b.pr_id = t.pr_id";
        let branches = collected(frame(&context, was).await?).await?;
        let count = rows(&pull_requests).await;
        Ok(Ok(Touched { pull_requests, count, branches, trace_days, event_days, staging, new, files }))
    }

    /// Brings the tables up to date; the rows written to each, or none when another writer was first.
    pub(super) async fn follow_pull_requests(
        &self,
        session: &mut Session,
        files: &[SqlFile],
        touched: &Touched,
    ) -> Result<Option<Vec<u64>>, LakeError> {
        let now = self.as_it_shall_be(session, files, touched).await?;
        let same: [&[&str]; 3] = [
            &["pr_id", "trace_id", "repo", "branch", "head_repo_id", "linked_from", "linked_until", "trace_date"],
            &["event_id", "pr_id", "link_rule", "ts", "type", "event_date"],
            &["pr_id", "event_id", "seq", "link_rule", "trace_date"],
        ];
        let link_days = texts(
            &now,
            "select distinct cast(event_date as varchar) from session.old_events
                 where link_rule <> 'number' and pr_id in (select pr_id from session.touched)",
        )
        .await?;
        let days = [&touched.trace_days, &link_days, &touched.trace_days];
        let partitions = ["trace_date", "event_date", "trace_date"];
        let mut written = Vec::new();
        for (((file, same), days), partition) in files.iter().zip(same).zip(days).zip(partitions) {
            let Some(parts) = Parts::open(&self.store, &file.name).await? else { return Ok(None) };
            let origin = super::origin(file, session)?;
            let table = Table { name: file.name.clone(), partition, parts, days: days.clone(), same, origin };
            let Some(rows) = self.exchange_rows(&now, table).await? else { return Ok(None) };
            written.push(rows);
            self.register(session, &file.name).await?;
        }
        Ok(Some(written))
    }

    /// A session in which the three tables are what they shall be, for the touched pull requests alone.
    async fn as_it_shall_be(
        &self,
        session: &Session,
        files: &[SqlFile],
        touched: &Touched,
    ) -> Result<SessionContext, LakeError> {
        let Touched { staging, new, .. } = touched;
        let [branches, links, events] = files else {
            return Err(LakeError::NoTable(TABLES.join(", ")));
        };
        let old = match Parts::open(&self.store, &events.name).await? {
            Some(parts) => parts.of_days(&touched.trace_days)?,
            None => return Err(LakeError::NoTable(events.name.to_string())),
        };
        // What events.sql takes from staging.events is in traces.events again.
        let there = staging.of_days(&Days::new())?.schema();
        let fields = old.schema();
        let columns = fields.fields().iter().map(|field| field.name().as_str());
        let columns: Vec<&str> =
            columns.filter(|name| *name != "pr_id" && there.field_with_name(name).is_ok()).collect();
        let of_before = columns.iter().map(|column| format!("b.{column}")).collect::<Vec<_>>().join(", ");
        let columns = columns.join(", ");

        let context = session.scoped(&[]).await?;
        let set = |table: &str, provider: Arc<dyn TableProvider>| put(&context, &name(table), provider);
        set("session.touched", touched.pull_requests.clone())?;
        set("session.new_events", new.clone())?;
        set("session.old_events", old)?;

        // What the traces held already. Where days are taken whole, their events come from staging, not from here.
        let before = "select * from session.old_events where pr_id in (select pr_id from session.touched)";
        let mut before = frame(&context, before).await?;
        if touched.files.is_none() {
            before = before.filter(!in_days("event_date", &touched.event_days)).map_err(step())?;
        }
        set("session.before", before.into_view())?;
        let kept =
            "select event_id, min(pr_id) as pr_id from session.before where link_rule <> 'number' group by event_id";
        set("session.kept", collected(frame(&context, kept).await?).await?)?;
        let known = format!(
            "select {columns}, pr_id from session.before where link_rule = 'number'
             union all
             select {of_before}, cast(null as varchar) as pr_id from session.before b
             left semi join session.kept k on b.event_id = k.event_id and b.pr_id = k.pr_id
             union all
             select {columns}, pr_id from session.new_events
             where pr_id is null or pr_id in (select pr_id from session.touched)"
        );
        set("session.known_events", frame(&context, &known).await?.into_view())?;

        // The branches as they are with the new events, and as they were: where they reach further, earlier events may
        // belong to them now.
        set("session.branches_before", touched.branches.clone())?;
        set("staging.events", frame(&context, "select * from session.known_events").await?.into_view())?;
        let now = collected(model::plan(&context, branches).await?).await?;
        set("session.branches_now", now.clone())?;
        set("session.new_times", memory(&context, "new_times").await?)?;
        let days = self.days_of_candidates(&context, touched).await?;
        set("staging.events", touched.earlier(&days)?)?;
        set("session.candidates", memory(&context, "candidates").await?)?;
        let days = texts(&context, "select distinct cast(event_date as varchar) from session.candidates").await?;
        set("session.earlier_events", touched.earlier(&days)?)?;
        let all = format!(
            "select {columns}, pr_id from session.known_events
             union all
             select {columns}, pr_id from session.earlier_events
             where event_id in (select event_id from session.candidates)
                 and event_id not in (select event_id from session.kept)"
        );
        set("staging.events", frame(&context, &all).await?.into_view())?;
        set("traces.branches", now)?;
        set("traces.links", collected(model::plan(&context, links).await?).await?)?;
        set("traces.events", model::plan(&context, events).await?.into_view())?;
        Ok(context)
    }

    /// The days in which an event may lie that belongs to a touched pull request only now.
    async fn days_of_candidates(&self, context: &SessionContext, touched: &Touched) -> Result<Days, LakeError> {
        let mut days = Days::new();
        let mut add = |first: Option<i64>, last: Option<i64>, by: i32| {
            let Some(first) = first else { return };
            let first = written(Timestamp(first).day() - by);
            let last = last.map(|last| written(Timestamp(last).day() + by));
            let within = |day: &&String| **day >= first && last.as_ref().is_none_or(|last| *day <= last);
            days.extend(touched.staging.by_day.keys().filter(within).cloned());
        };
        let stretch = times(
            context,
            "select min(from_ts), case when count(until_ts) = count(*) then max(until_ts) end from session.new_times",
        )
        .await?;
        // Commits on the branch bring along what is about them.
        add(stretch[0], stretch[1], SHA_DAYS);
        let commits = times(
            context,
            "select min(ts), max(ts) from session.new_events where type in ('pr', 'commit', 'push') and sha is not null",
        )
        .await?;
        add(commits[0], commits[1], SHA_DAYS);
        let sessions = times(
            context,
            "select min(ts), max(ts) from session.new_events where pr_id is not null and session is not null",
        )
        .await?;
        add(sessions[0], sessions[1], SESSION_DAYS);
        Ok(days)
    }

    /// Puts the rows of the touched pull requests in the place of what they were; the rows written, or none when
    /// another writer was first.
    async fn exchange_rows(&self, now: &SessionContext, table: Table<'_>) -> Result<Option<u64>, LakeError> {
        let Table { name: table, partition, parts, days, same, mut origin } = table;
        let what = || LakeError::sql(format!("the new rows of {table}"));
        let old = now.read_table(parts.of_days(&days)?).map_err(what())?;
        let touched = now.table("session.touched").await.map_err(what())?;
        let touched = touched.select(vec![col("pr_id").alias("touched")]).map_err(what())?;
        let semi = datafusion::common::JoinType::LeftSemi;
        let anti = datafusion::common::JoinType::LeftAnti;
        let old = old.join(touched.clone(), semi, &["pr_id"], &["touched"], None).map_err(what())?;
        let new = now.table(table.to_string()).await.map_err(what())?;
        let of = |frame: &DataFrame| frame.clone().select_columns(same).map_err(what());
        let gone = days_in(of(&old)?.except(of(&new)?).map_err(what())?, partition).await.map_err(what())?;
        let added = days_in(of(&new)?.except(of(&old)?).map_err(what())?, partition).await.map_err(what())?;
        if gone.is_empty() && added.is_empty() {
            // Nothing changed: the commit only says up to where that is known.
            origin[DATA_VERSION] = crate::delta::table::data_version(parts.table()).await.into();
            let schema = delta_schema(new.schema().as_arrow());
            let nothing = write::Written { schema, adds: Vec::new(), rows: 0 };
            return Ok(write::exchange(&self.store, &table, &parts, Vec::new(), nothing, origin).await?.then_some(0));
        }
        let only: Days = added.difference(&gone).cloned().collect();
        // In days that only gain rows, those that were there are left where they are.
        let was = old.filter(in_days(partition, &only)).map_err(what())?;
        let is = new.clone().filter(in_days(partition, &only)).map_err(what())?;
        let appended = if same.len() == is.schema().fields().len() {
            is.except(was)
        } else {
            let known = was.select(vec![col("pr_id").alias("known_pr"), col("event_id").alias("known_event")]);
            known.and_then(|known| is.join(known, anti, &["pr_id", "event_id"], &["known_pr", "known_event"], None))
        };
        let mut rows = appended.map_err(what())?;
        if !gone.is_empty() {
            let others = now.read_table(parts.of_days(&gone)?).map_err(what())?;
            let others = others.join(touched, anti, &["pr_id"], &["touched"], None).map_err(what())?;
            let names: Vec<&str> = new.schema().fields().iter().map(|field| field.name().as_str()).collect();
            let others = others.select_columns(&names).map_err(what())?;
            let again = new.clone().filter(in_days(partition, &gone)).map_err(what())?;
            rows = rows.union(again).and_then(|rows| rows.union(others)).map_err(what())?;
        }
        let order = [partition, "pr_id"].into_iter().chain(same.contains(&"seq").then_some("seq"));
        let rows = rows.sort(order.map(|column| col(column).sort(true, false)).collect()).map_err(what())?;
        let new = write::frame(&self.store, &table, rows, Some(partition)).await?;
        let gone = gone.iter().filter_map(|day| parts.by_day.get(day)).flatten().map(|part| part.remove.clone());
        let gone = gone.collect();
        let count = new.rows;
        Ok(write::exchange(&self.store, &table, &parts, gone, new, origin).await?.then_some(count))
    }
}

impl Touched {
    /// The events of some days that came before the new ones.
    fn earlier(&self, days: &Days) -> Result<Arc<dyn TableProvider>, LakeError> {
        let is_new = |part: &Part| match &self.files {
            Some(files) => files.contains(&part.path),
            None => self.event_days.contains(&part.day),
        };
        let of_days = days.iter().filter_map(|day| self.staging.by_day.get(day)).flatten();
        self.staging.of(of_days.filter(|part| !is_new(part)))
    }
}

/// One of the questions under `sql/session/`.
pub(super) async fn question(context: &SessionContext, question: &str) -> Result<DataFrame, LakeError> {
    model::plan(context, &model::question(question)?).await
}

/// The answer to one of them, in memory.
async fn memory(context: &SessionContext, of: &str) -> Result<Arc<MemTable>, LakeError> {
    collected(question(context, of).await?).await
}

fn step() -> impl FnOnce(datafusion::error::DataFusionError) -> LakeError {
    LakeError::sql("a step towards the traces")
}

/// A result in memory, of the columns that a table would have: a plan may say more of its types and nulls than batches do.
async fn collected(frame: DataFrame) -> Result<Arc<MemTable>, LakeError> {
    let schema = delta_schema(frame.schema().as_arrow());
    let batches = frame.collect().await.map_err(step())?;
    let batches = batches.iter().map(|batch| conform(batch, &schema)).collect::<Result<Vec<_>, _>>();
    let batches = batches.map_err(LakeError::columns("a step towards the traces"))?;
    Ok(Arc::new(MemTable::try_new(schema, vec![batches]).map_err(step())?))
}

async fn frame(context: &SessionContext, query: &str) -> Result<DataFrame, LakeError> {
    context.sql(query).await.map_err(step())
}

async fn rows(table: &MemTable) -> usize {
    let mut rows = 0;
    for batches in &table.batches {
        rows += batches.read().await.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>();
    }
    rows
}

async fn days_in(frame: DataFrame, partition: &str) -> Result<Days, datafusion::error::DataFusionError> {
    let mut days = Days::new();
    let frame = frame.select_columns(&[partition])?.distinct()?;
    for batch in frame.collect().await? {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        if let Some(column) = column.as_any().downcast_ref::<arrow::array::StringArray>() {
            days.extend(column.iter().flatten().filter(|day| number(day).is_some()).map(str::to_owned));
        }
    }
    Ok(days)
}

/// The times in the only row of a result.
async fn times(context: &SessionContext, query: &str) -> Result<Vec<Option<i64>>, LakeError> {
    let batches = frame(context, query).await?.collect().await.map_err(step())?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(vec![None; 2]) };
    let times = batch.columns().iter().map(|column| {
        let times = column.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
        (!times.is_null(0)).then(|| times.value(0))
    });
    Ok(times.collect())
}
