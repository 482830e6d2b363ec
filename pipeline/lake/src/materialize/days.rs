//! Tables that follow others day by day: only the days that changed are made anew.

use super::changes::{self, Days, Parts, around, number};
use super::follows::{Input, Through};
use super::{BRANCHES, TRACES, write};
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model::{self, SqlFile};
use crate::session::Session;
use crate::table::TableName;
use datafusion::catalog::TableProvider;
use datafusion::prelude::{DataFrame, Expr, SessionContext, col, lit};
use datafusion::scalar::ScalarValue;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of what a table follows that are taken at a time: joins hold them in memory.
const CHUNK_ROWS: u64 = 500_000;

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
            }
            if days.contains("") {
                return Ok(Err(format!("{} changed, which is not kept by day", input.table)));
            }
            match &input.through {
                Through::Days(by) => todo.append(&mut around(&days, *by)),
                Through::Key(key) => todo.append(&mut self.days_by_key(session, &input.table, key, &days).await?),
            }
        }
        Ok(Ok(todo))
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
        origin: Value,
    ) -> Result<Option<u64>, LakeError> {
        let Some(old) = Parts::open(&self.store, &file.name).await? else { return Ok(None) };
        let new = self.write_days(session, file, partition, inputs, Some(days)).await?;
        let gone =
            days.iter().filter_map(|day| old.by_day.get(day)).flatten().map(|part| part.remove.clone()).collect();
        let rows = new.rows;
        Ok(write::exchange(&self.store, &file.name, &old, gone, new, origin).await?.then_some(rows))
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
        for input in inputs.iter().filter(|input| matches!(input.through, Through::Days(_))) {
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
        let mut written: Option<write::Written> = None;
        for days in chunks(rows) {
            let frame = self.frame_of_days(session, file, partition, inputs, &days).await?;
            let new = write::frame(&self.store, &file.name, frame, Some(partition)).await?;
            match &mut written {
                Some(written) => written.append(new),
                None => written = Some(new),
            }
        }
        match written {
            Some(written) => Ok(written),
            None => {
                let nothing = self.frame_of_days(session, file, partition, inputs, &Days::new()).await?;
                write::frame(&self.store, &file.name, nothing, Some(partition)).await
            }
        }
    }

    /// Some days of a table, from those rows of what it follows that they depend on.
    async fn frame_of_days(
        &self,
        session: &Session,
        file: &SqlFile,
        partition: &str,
        inputs: &[Input],
        days: &Days,
    ) -> Result<DataFrame, LakeError> {
        let mut only: Vec<(TableName, Arc<dyn TableProvider>)> = Vec::new();
        for input in inputs {
            let Some(parts) = Parts::open(&self.store, &name(&input.table)).await? else { continue };
            let provider = match &input.through {
                Through::Days(by) => parts.of_days(&around(days, *by))?,
                Through::Key(key) => self.by_key(session, &parts, key, days).await?,
            };
            only.push((name(&input.table), provider));
        }
        let context = session.scoped(&only).await?;
        let frame = model::plan(&context, file).await?;
        frame.filter(in_days(partition, days)).map_err(LakeError::sql(file.path()))
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

/// Days in a row, at least one and as many as stay below [`CHUNK_ROWS`].
fn chunks(rows: BTreeMap<String, u64>) -> Vec<Days> {
    let (mut chunks, mut held) = (Vec::<Days>::new(), 0);
    for (day, rows) in rows {
        match chunks.last_mut() {
            Some(chunk) if held + rows <= CHUNK_ROWS => {
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

/// `schema.table` as a name.
pub(super) fn name(table: &str) -> TableName {
    let (schema, table) = table.split_once('.').unwrap_or(("", table));
    TableName { schema: schema.to_owned(), table: table.to_owned() }
}

/// Whether a row is in one of these days.
pub(super) fn in_days(partition: &str, days: &Days) -> Expr {
    let days = days.iter().filter_map(|day| number(day)).map(|day| lit(ScalarValue::Date32(Some(day)))).collect();
    col(partition).in_list(days, false)
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
        let chunks = chunks(rows.map(|(day, rows)| (day.to_owned(), rows)).into());
        let sizes: Vec<usize> = chunks.iter().map(Days::len).collect();
        assert_eq!(sizes, [2, 1, 1, 1], "a day is never parted");
        assert!(super::chunks(BTreeMap::new()).is_empty());
    }
}
