//! `traces.events` made whole: some trace days at a time and several such blocks side by side, each small enough to be
//! sorted in memory. What it costs grows with the history; what it holds does not.

use super::changes::{Days, Parts};
use super::days::name;
use super::pull_requests::question;
use super::write::{self, Written};
use super::{BRANCHES, EVENTS, LINKS, SORT_BYTES};
use crate::engine::session::Session;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model::{self, SqlFile};
use arrow::array::{AsArray, StringArray};
use arrow::datatypes::Int64Type;
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::thread::available_parallelism;

/// Events that are held at one time, by all blocks together.
const HELD_ROWS: u64 = 400_000;

/// A block reads at most so many events for each one it keeps: pull requests that are open for long have their events in
/// many days, and it is cheaper to take more of them and to sort in temporary files than to read those days again and again.
const READ_FOR_KEPT: u64 = 2;

/// Events by the day their trace began, and by their own.
type TraceDays = BTreeMap<String, BTreeMap<String, u64>>;

/// Trace days in a row, and the days in which their events lie.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    trace_days: Days,
    event_days: Days,
    rows: u64,
}

impl Lake {
    /// Writes the events of all traces.
    pub(super) async fn write_traces(
        &self,
        session: &Session,
        file: &SqlFile,
        partition: &str,
    ) -> Result<Written, LakeError> {
        let open = |table| async move { Parts::open(&self.store, &name(table)).await };
        let (Some(events), Some(branches)) = (open(EVENTS).await?, open(BRANCHES).await?) else {
            return self.write_whole(session, file, Some(partition)).await;
        };
        let links = open(LINKS).await?;
        let rows = events.by_day.iter().map(|(day, parts)| (day.as_str(), parts.iter().map(|part| part.rows).sum()));
        let cores = available_parallelism().map_or(1, usize::from);
        let blocks = blocks(trace_days(session).await?, &rows.collect(), HELD_ROWS / cores as u64);
        let partitions = (cores / blocks.len().max(1)).max(1);
        // A sort counts what it holds twice, and half of all is kept for merging what had to go to disk.
        let shared = session.within(2 * SORT_BYTES).await?.runtime_env();
        let frame = |block: Block| {
            let (events, branches, links, shared) = (&events, &branches, &links, shared.clone());
            async move {
                let mut only = vec![
                    (name(EVENTS), events.of_days(&block.event_days)?),
                    (name(BRANCHES), branches.of_days(&block.trace_days)?),
                ];
                if let Some(links) = links {
                    only.push((name(LINKS), links.of_days(&block.event_days)?));
                }
                let context = session.scoped_in(shared, &only, Some(partitions)).await?;
                let frame = model::plan(&context, file).await?;
                write::frame(&self.store, &file.name, frame, Some(partition)).await
            }
        };
        let mut written = stream::iter(blocks).map(frame).buffer_unordered(cores);
        let Some(mut all) = written.try_next().await? else {
            return self.write_whole(session, file, Some(partition)).await;
        };
        while let Some(more) = written.try_next().await? {
            all.append(more);
        }
        Ok(all)
    }
}

async fn trace_days(session: &Session) -> Result<TraceDays, LakeError> {
    let what = "the days of the traces";
    let frame = question(&session.context, "trace_days").await?;
    let mut days = TraceDays::new();
    for batch in frame.collect().await.map_err(LakeError::sql(what))? {
        let text = |i: usize| arrow::compute::cast(batch.column(i), &arrow::datatypes::DataType::Utf8);
        let (traces, events) = (text(0).map_err(LakeError::columns(what))?, text(1).map_err(LakeError::columns(what))?);
        let texts: [&StringArray; 2] = [traces.as_string(), events.as_string()];
        let counts = batch.column(2).as_primitive::<Int64Type>();
        for ((trace, event), count) in texts[0].iter().zip(texts[1]).zip(counts) {
            if let (Some(trace), Some(event), Some(count)) = (trace, event, count) {
                days.entry(trace.to_owned()).or_default().insert(event.to_owned(), count.unsigned_abs());
            }
        }
    }
    Ok(days)
}

/// Blocks that each have `least` rows or more and read little else; `rows` says how many there are to read in a day.
fn blocks(days: TraceDays, rows: &BTreeMap<&str, u64>, least: u64) -> Vec<Block> {
    let (mut blocks, mut block, mut read) = (Vec::new(), Block::default(), 0);
    for (trace_day, events) in days {
        block.trace_days.insert(trace_day);
        for (event_day, kept) in events {
            block.rows += kept;
            read += rows.get(event_day.as_str()).filter(|_| !block.event_days.contains(&event_day)).unwrap_or(&0);
            block.event_days.insert(event_day);
        }
        if block.rows >= least && read <= READ_FOR_KEPT * block.rows {
            blocks.push(std::mem::take(&mut block));
            read = 0;
        }
    }
    blocks.extend((!block.trace_days.is_empty()).then_some(block));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The trace days of a history in which each trace has an event on each of so many days.
    fn history(days: usize, open: usize) -> (TraceDays, Vec<(String, u64)>) {
        let name = |day: usize| format!("2026-01-{day:02}");
        let of = |day: usize| (day..(day + open).min(days)).map(|event| (name(event), 100)).collect();
        let traces: TraceDays = (0..days).map(|day| (name(day), of(day))).collect();
        let mut rows = BTreeMap::<String, u64>::new();
        for (day, count) in traces.values().flatten() {
            *rows.entry(day.clone()).or_default() += count;
        }
        (traces, rows.into_iter().collect())
    }

    fn cut(days: usize, open: usize, least: u64) -> Vec<Block> {
        let (traces, rows) = history(days, open);
        blocks(traces, &rows.iter().map(|(day, rows)| (day.as_str(), *rows)).collect(), least)
    }

    #[test]
    fn a_history_of_short_traces_is_cut_into_blocks_that_fit() {
        let found = cut(20, 1, 400);
        assert_eq!(found.iter().map(|block| block.rows).collect::<Vec<_>>(), [400; 5]);
        assert_eq!(found[0].trace_days, found[0].event_days);
        assert!(cut(0, 1, 400).is_empty());
    }

    #[test]
    fn long_traces_are_taken_together_rather_than_read_again_and_again() {
        for open in 1..=20 {
            let found = cut(20, open, 100);
            let (_, rows) = history(20, open);
            let rows: BTreeMap<_, _> = rows.into_iter().collect();
            let read: u64 = found.iter().flat_map(|block| &block.event_days).map(|day| rows[day]).sum();
            let kept: u64 = found.iter().map(|block| block.rows).sum();
            assert_eq!(kept, rows.values().sum::<u64>(), "{open}");
            assert!(read <= (READ_FOR_KEPT + 1) * kept, "{open} days open: {read} read for {kept}");
        }
        assert!(cut(20, 20, 100).len() <= 4, "each of the twenty days would fill a block");
    }
}
