//! Tables that follow others day by day: only the days that changed are made anew, and of the days around them only those
//! rows are read that matter to them.

use super::changes::{self, Changes, Days, Part, Parts, around, number};
use super::follows::{Input, Reach, Through};
use super::{BRANCHES, TRACES, write};
use crate::delta::table::{self, DATA_VERSION, TableName};
use crate::engine::session::Session;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model::{self, SqlFile};
use datafusion::catalog::TableProvider;
use datafusion::prelude::{DataFrame, Expr, SessionContext, col, lit};
use datafusion::scalar::ScalarValue;
use deltalake_core::kernel::Add;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::available_parallelism;

/// Rows of what a table follows that are taken at one time, by all chunks together: joins hold them in memory.
const CHUNK_ROWS: u64 = 500_000;

/// As many stretches of days as are compared one by one; more are looked up in a list.
const STRETCHES: usize = 8;

/// What a table may be told about an input that is not built yet, when only explaining.
pub(super) type Expected = BTreeMap<String, Days>;

impl Lake {
    /// The days of a table that what it follows has changed; none when that cannot be known.
    pub(super) async fn days_to_do(
        &self,
        session: &Session,
        inputs: &[Input],
        last: &Value,
        expected: &Expected,
    ) -> Result<Result<Days, String>, LakeError> {
        let mut todo = Days::new();
        for input in inputs {
            let mut days = expected.get(&input.table).cloned().unwrap_or_default();
            let (from, to) = (last["inputs"][&input.table].as_i64(), session.versions.get(&input.table).copied());
            if from != Some(to.unwrap_or(-1)) {
                let (Some(from), Some(to)) = (from, to) else { return Ok(Err(format!("{} changed", input.table))) };
                let Some(found) = changes::between(&self.store, &name(&input.table), from, to).await? else {
                    return Ok(Err(format!("the log of {} does not reach back to the last time", input.table)));
                };
                days.append(&mut found.days());
                if let (Through::Near(reach, key), true) = (&input.through, !days.contains("")) {
                    todo.append(&mut self.days_near(session, &input.table, (*reach, key), &found).await?);
                }
            }
            if days.contains("") {
                return Ok(Err(format!("{} changed, which is not kept by day", input.table)));
            }
            match &input.through {
                Through::Days(reach) => todo.append(&mut around(&days, reach.turned())),
                Through::Near(..) => todo.append(&mut days),
                Through::Key(key) => todo.append(&mut self.days_by_key(session, &input.table, key, &days).await?),
            }
        }
        Ok(Ok(todo))
    }

    /// The days in reach that share a key with rows that came or went.
    async fn days_near(
        &self,
        session: &Session,
        table: &str,
        (reach, key): (Reach, &str),
        changes: &Changes,
    ) -> Result<Days, LakeError> {
        let changed = changes.days();
        let Some(parts) = Parts::open(&self.store, &name(table)).await? else { return Ok(Days::new()) };
        let mut near = around(&changed, reach.turned());
        near.retain(|day| !changed.contains(day) && parts.by_day.contains_key(day));
        let (Some(partition), false) = (parts.partition(), near.is_empty()) else { return Ok(near) };
        // What nobody can read any more may have had any key.
        let Some(before) = parts.of_gone(&self.store, &changes.removed).await? else { return Ok(near) };
        let named = [
            (name("session.now"), parts.of_days(&changed)?),
            (name("session.before"), before),
            (name("session.near"), parts.of_days(&near)?),
        ];
        let context = session.scoped(&named).await?;
        let query = format!(
            "with came as (select * from session.now except select * from session.before),
             went as (select * from session.before except select * from session.now)
             select distinct cast({partition} as varchar) as day from session.near
             where {key} in (select {key} from came union select {key} from went)"
        );
        texts(&context, &query).await
    }

    /// The trace days of the pull requests in some days of a table.
    async fn days_by_key(&self, session: &Session, table: &str, key: &str, days: &Days) -> Result<Days, LakeError> {
        let (Some(parts), Some(first), Some(last)) =
            (Parts::open(&self.store, &name(table)).await?, days.first(), days.last())
        else {
            return Ok(Days::new());
        };
        let context = session.scoped(&[(name("session.changed"), parts.of_days(days)?)]).await?;
        // What belongs to a pull request is an event of its trace; the log tells which traces were open then.
        let query = format!(
            "select distinct cast(trace_date as varchar) as day from {TRACES}
             where event_date >= date '{first}' and event_date <= date '{last}'
                 and pr_id in (select {key} from session.changed)"
        );
        texts(&context, &query).await
    }

    /// Makes some days of a table anew; gives the rows written, or none when another writer was first.
    pub(super) async fn replace_days(
        &self,
        session: &Session,
        file: &SqlFile,
        partition: &str,
        inputs: &[Input],
        days: &Days,
        mut origin: Value,
    ) -> Result<Option<u64>, LakeError> {
        let Some(old) = Parts::open(&self.store, &file.name).await? else { return Ok(None) };
        let mut new = self.write_days(session, file, partition, inputs, Some(days)).await?;
        let same = self.unchanged(&file.name, &old, days, &mut new).await?;
        let gone = days.iter().filter(|day| !same.contains(*day)).filter_map(|day| old.by_day.get(day)).flatten();
        let gone: Vec<_> = gone.map(|part| part.remove.clone()).collect();
        if gone.is_empty() && new.adds.is_empty() {
            // Nothing changed: the commit only says up to where that is known.
            origin[DATA_VERSION] = table::data_version(old.table()).await.into();
        }
        let rows = new.rows;
        Ok(write::exchange(&self.store, &file.name, &old, gone, new, origin).await?.then_some(rows))
    }

    /// The days that are, byte for byte, what they were. Their new files are removed again, so that nothing that follows
    /// the table is made anew for them.
    async fn unchanged(
        &self,
        table: &TableName,
        old: &Parts,
        days: &Days,
        new: &mut write::Written,
    ) -> Result<Days, LakeError> {
        let mut made: BTreeMap<String, Vec<Add>> = BTreeMap::new();
        for add in std::mem::take(&mut new.adds) {
            let day = add.partition_values.values().next().cloned().flatten().unwrap_or_default();
            made.entry(day).or_default().push(add);
        }
        let mut same = Days::new();
        for day in days {
            let (Some(was), Some(is)) = (old.by_day.get(day), made.get(day)) else { continue };
            if let ([was], [is]) = (&was[..], &is[..])
                && self.is_same(table, was, is).await?
            {
                same.insert(day.clone());
            }
        }
        for day in &same {
            for add in made.remove(day).into_iter().flatten() {
                self.store.delete(&format!("{}/{}/{}", table.schema, table.table, add.path)).await?;
            }
        }
        new.adds = made.into_values().flatten().collect();
        new.rows = new.adds.iter().map(rows_of).sum();
        Ok(same)
    }

    async fn is_same(&self, table: &TableName, was: &Part, is: &Add) -> Result<bool, LakeError> {
        if was.bytes != is.size.unsigned_abs() || was.rows != rows_of(is) {
            return Ok(false);
        }
        let place = |path: &str| format!("{}/{}/{path}", table.schema, table.table);
        Ok(self.store.get(&place(&was.path)).await? == self.store.get(&place(&is.path)).await?)
    }

    /// Writes some days of a table, or all, so many at a time as fit into memory whatever the size of the lake.
    pub(super) async fn write_days(
        &self,
        session: &Session,
        file: &SqlFile,
        partition: &str,
        inputs: &[Input],
        days: Option<&Days>,
    ) -> Result<write::Written, LakeError> {
        let mut rows: BTreeMap<String, u64> = days.into_iter().flatten().map(|day| (day.clone(), 0)).collect();
        for input in inputs.iter().filter(|input| !matches!(input.through, Through::Key(_))) {
            let parts = Parts::open(&self.store, &name(&input.table)).await?;
            let by_day = parts.iter().flat_map(|parts| &parts.by_day);
            for (day, files) in by_day.filter(|(day, _)| days.is_none_or(|days| days.contains(*day))) {
                *rows.entry(day.clone()).or_default() += files.iter().map(|file| file.rows).sum::<u64>();
            }
        }
        if rows.contains_key("") {
            // Not kept by day, so there are no days to take.
            return write::frame(&self.store, &file.name, session.plan(file).await?, Some(partition)).await;
        }
        let cores = available_parallelism().map_or(1, usize::from);
        let mut chunks = chunks(rows, CHUNK_ROWS / cores as u64);
        if chunks.is_empty() {
            chunks.push(Days::new()); // makes no row, but says which columns there are
        }
        let partitions = (cores / chunks.len()).max(1);
        let whole = days.is_none();
        let make = |days: Days| async move {
            let frame = self.frame_of_days(session, file, inputs, &days, partitions).await?;
            let only = if whole { between(partition, &days) } else { in_days(partition, &days) };
            let frame = frame.filter(only).map_err(LakeError::sql(file.path()))?;
            write::frame(&self.store, &file.name, frame, Some(partition)).await
        };
        let mut made = stream::iter(chunks).map(make).buffer_unordered(cores);
        let mut written = write::Written::nothing();
        while let Some(new) = made.try_next().await? {
            written.append(new);
        }
        Ok(written)
    }

    /// A table from those rows of what it follows that some days of it depend on: these days are whole, others are not.
    async fn frame_of_days(
        &self,
        session: &Session,
        file: &SqlFile,
        inputs: &[Input],
        days: &Days,
        partitions: usize,
    ) -> Result<DataFrame, LakeError> {
        let mut only: Vec<(TableName, Arc<dyn TableProvider>)> = Vec::new();
        for input in inputs {
            let Some(parts) = Parts::open(&self.store, &name(&input.table)).await? else { continue };
            let provider = match &input.through {
                Through::Days(reach) => parts.of_days(&around(days, *reach))?,
                Through::Near(reach, key) => self.near(session, &parts, (*reach, key), days).await?,
                Through::Key(key) => self.by_key(session, &parts, key, days).await?,
            };
            only.push((name(&input.table), provider));
        }
        let context = session.scoped_in(session.context.runtime_env(), &only, Some(partitions)).await?;
        model::plan(&context, file).await
    }

    /// The rows of some days, and those of the days in reach that share a key with them.
    async fn near(
        &self,
        session: &Session,
        parts: &Parts,
        (reach, key): (Reach, &str),
        days: &Days,
    ) -> Result<Arc<dyn TableProvider>, LakeError> {
        let own = parts.of_days(days)?;
        let mut near = around(days, reach);
        near.retain(|day| !days.contains(day) && parts.by_day.contains_key(day));
        if near.is_empty() {
            return Ok(own);
        }
        let named = [(name("session.own"), own), (name("session.near"), parts.of_days(&near)?)];
        let context = session.scoped(&named).await?;
        let query = format!(
            "select * from session.own union all
             select * from session.near where {key} in (select {key} from session.own where {key} is not null)"
        );
        Ok(context.sql(&query).await.map_err(LakeError::sql("the rows near some days"))?.into_view())
    }

    /// The rows of a table about the pull requests of some trace days.
    async fn by_key(
        &self,
        session: &Session,
        parts: &Parts,
        key: &str,
        days: &Days,
    ) -> Result<Arc<dyn TableProvider>, LakeError> {
        // What belongs to a pull request is an event of its trace.
        let mut reach = Days::new();
        if let Some(events) = Parts::open(&self.store, &name(TRACES)).await? {
            let context = session.scoped(&[(name(TRACES), events.of_days(days)?)]).await?;
            let lie = texts(&context, &format!("select distinct cast(event_date as varchar) from {TRACES}")).await?;
            reach.extend(parts.by_day.keys().filter(|day| lie.contains(*day)).cloned());
        }
        let mut named = vec![(name("session.all_rows"), parts.of_days(&reach)?)];
        if let Some(branches) = Parts::open(&self.store, &name(BRANCHES)).await? {
            named.push((name(BRANCHES), branches.of_days(days)?));
        }
        let context = session.scoped(&named).await?;
        let query = format!("select * from session.all_rows where {key} in (select pr_id from {BRANCHES})");
        Ok(context.sql(&query).await.map_err(LakeError::sql("the rows of the pull requests"))?.into_view())
    }
}

/// Days in a row, at least one and as many as stay below so many rows.
fn chunks(rows: BTreeMap<String, u64>, most: u64) -> Vec<Days> {
    let (mut chunks, mut held) = (Vec::<Days>::new(), 0);
    for (day, rows) in rows {
        match chunks.last_mut() {
            Some(chunk) if held + rows <= most => {
                held += rows;
                chunk.insert(day);
            }
            _ => {
                held = rows;
                chunks.push(Days::from([day]));
            }
        }
    }
    chunks
}

/// The rows of a new file, as it says of itself.
fn rows_of(add: &Add) -> u64 {
    let stats = add.stats.as_ref().and_then(|stats| serde_json::from_str::<Value>(stats).ok());
    stats.and_then(|stats| stats["numRecords"].as_u64()).unwrap_or_default()
}

/// `schema.table` as a name.
pub(super) fn name(table: &str) -> TableName {
    let (schema, table) = table.split_once('.').unwrap_or(("", table));
    TableName { schema: schema.to_owned(), table: table.to_owned() }
}

/// Whether a row lies between the first and the last of some days. Of a table that is made whole the days between two
/// chunks have no rows: a list of thousands of scattered days would be gone through for every row and file.
fn between(partition: &str, days: &Days) -> Expr {
    match (days.first().and_then(|day| number(day)), days.last().and_then(|day| number(day))) {
        (Some(first), Some(last)) => col(partition).between(day_of(first), day_of(last)),
        _ => lit(false),
    }
}

/// Days since 1970 as SQL has it.
fn day_of(number: i32) -> Expr {
    lit(ScalarValue::Date32(Some(number)))
}

/// Whether a row is in one of these days.
pub(super) fn in_days(partition: &str, days: &Days) -> Expr {
    let mut stretches: Vec<(i32, i32)> = Vec::new();
    for number in days.iter().filter_map(|day| number(day)).collect::<BTreeSet<_>>() {
        match stretches.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => stretches.push((number, number)),
        }
    }
    if stretches.len() <= STRETCHES {
        let within = stretches.into_iter().map(|(first, last)| col(partition).between(day_of(first), day_of(last)));
        return within.reduce(Expr::or).unwrap_or(lit(false));
    }
    let all = stretches.into_iter().flat_map(|(first, last)| first..=last).map(day_of).collect();
    col(partition).in_list(all, false)
}

/// The texts in the only column of a result.
pub(super) async fn texts(context: &SessionContext, query: &str) -> Result<Days, LakeError> {
    let failed = || LakeError::sql(query.split_whitespace().collect::<Vec<_>>().join(" "));
    let batches = context.sql(query).await.map_err(failed())?.collect().await.map_err(failed())?;
    let mut texts = Days::new();
    for batch in batches {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8);
        let column = column.map_err(LakeError::columns(query))?;
        let column = column.as_any().downcast_ref::<arrow::array::StringArray>();
        texts.extend(
            column.into_iter().flat_map(|column| column.iter().flatten().map(str::to_owned).collect::<Vec<_>>()),
        );
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_taken_together_while_they_fit() {
        let rows = [("1", 300_000), ("2", 200_000), ("3", 100_000), ("4", 9_000_000), ("5", 1)];
        let chunks = chunks(rows.map(|(day, rows)| (day.to_owned(), rows)).into(), 500_000);
        let sizes: Vec<usize> = chunks.iter().map(Days::len).collect();
        assert_eq!(sizes, [2, 1, 1, 1], "a day is never parted");
        assert!(super::chunks(BTreeMap::new(), 1).is_empty());
    }
}
