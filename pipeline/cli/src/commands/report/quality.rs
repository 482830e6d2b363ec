//! Data quality: what came, how old it is, what was rejected and why, what the last `check` found.

use super::Source;
use super::fleet::time;
use super::models::events_by_day;
use crate::failure::Failure;
use domain::time::DAY;
use page::{Block, Cell, Column, Section, Table, Tone, Unit};
use serde_json::Value;

/// One section.
pub async fn section(source: &Source<'_>) -> Result<Section, Failure> {
    let about = "A report is as good as what it was told.";
    let mut section = Section::new("Data quality", about);
    let days = source.ask("report_event_days").await?;
    if days.is_empty() {
        let how = ["pipeline ingest DUMPS", "pipeline materialize"];
        section.blocks.push(Block::missing("No event of these days is in the lake.", &how));
    } else {
        let day = |row: &Value| {
            let text = format!("{}T00:00:00Z", row["day"].as_str().unwrap_or_default());
            Some((domain::Timestamp::parse(&text)?.0 as f64, row["events"].as_f64()?))
        };
        section.blocks.push(events_by_day(&days.iter().filter_map(day).collect::<Vec<_>>()));
        section.blocks.push(Block::Table(kinds(source).await?));
    }
    section.blocks.push(rejects(source).await?);
    section.blocks.push(last_check(source).await?);
    Ok(section)
}

/// Each kind of event, and how old its newest is.
async fn kinds(source: &Source<'_>) -> Result<Table, Failure> {
    let rows = source.ask("report_event_types").await?;
    let newest = |row: &Value| time(&row["newest"]);
    let age = |at: domain::Timestamp| (source.context.now.0 - at.0) as f64 / DAY as f64;
    let table = Table::of("Events by type", &rows)
        .text("event", |row| row["type"].as_str().unwrap_or_default())
        .amount("in the lake", Unit::Plain, |row| row["events"].as_f64())
        .text("newest", |row| newest(row).map_or_else(|| "–".to_owned(), domain::Timestamp::minute))
        .amount("age (days)", Unit::Plain, |row| newest(row).map(|at| (age(at) * 10.0).round() / 10.0))
        .table();
    Ok(table.at_most(30))
}

/// Lines that could not be taken.
async fn rejects(source: &Source<'_>) -> Result<Block, Failure> {
    let rows = source
        .rows("select reason, count(*) as lines, max(detail) as example from staging.rejects group by reason order by lines desc")
        .await?;
    if rows.is_empty() {
        return Ok(Block::text("No line of any dump was rejected."));
    }
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let lines = |row: &Value| Cell::amount(Unit::Plain, row["lines"].as_f64()).toned(Tone::Warn);
    let table = Table::of("Rejected lines, kept in staging.rejects", &rows)
        .text("why", |row| text(row, "reason").replace('_', " "))
        .cells(Column::number("lines"), |row| lines(row))
        .text("for example", |row| text(row, "example"))
        .table();
    Ok(Block::Table(table))
}

/// What the last `check` of a job found: running it anew takes longer than all of the page.
async fn last_check(source: &Source<'_>) -> Result<Block, Failure> {
    let mut names = source.lake.names("journal/runs").await?;
    names.retain(|name| name.ends_with(".json"));
    names.sort();
    for name in names.iter().rev().take(10) {
        let Some(record) = source.lake.document::<Value>(&format!("journal/runs/{name}")).await? else { continue };
        let steps = record["steps"].as_array().cloned().unwrap_or_default();
        let is_check =
            |step: &&Value| step["arguments"].as_array().is_some_and(|a| a.first().is_some_and(|a| a == "check"));
        let Some(step) = steps.iter().rfind(is_check) else { continue };
        let at = time(&record["now"]).map_or_else(String::new, |at| format!(" on {}", at.minute()));
        let findings = step["answer"]["findings"].as_array().cloned().unwrap_or_default();
        let checks = step["answer"]["checks"].as_array().map_or(0, Vec::len);
        if findings.is_empty() {
            return Ok(Block::text(format!(
                "The last check{at} passed: {checks} checks of the data and of the lake's files."
            )));
        }
        let of = |name| move |finding: &&Value| finding[name].as_str().unwrap_or_default().to_owned();
        let table = Table::of(format!("{} findings of the last check{at}", findings.len()), &findings)
            .text("check", of("check"))
            .text("about", of("subject"))
            .text("finding", of("finding"))
            .table();
        return Ok(Block::Table(table.at_most(20)));
    }
    Ok(Block::missing("No job has checked the data yet.", &["pipeline check"]))
}
