//! Where the bottlenecks of the fleet are: contention and use by day, and what held runs back.

use super::super::Source;
use super::{Day, Fleet};
use crate::failure::Failure;
use domain::Timestamp;
use page::{Bar, Bars, Block, Chart, Ink, Lines, Panel, Scale, Section, Series, Shape, Table, Unit};
use serde_json::Value;

impl Fleet {
    /// Where work waits: each day, each cause.
    pub async fn bottlenecks(&self, source: &Source<'_>) -> Result<Section, Failure> {
        let about = "Hours in which a limit killed or throttled, and what held runs back.";
        let mut section = Section::new("Bottlenecks", about);
        if self.days.is_empty() {
            section.blocks.push(Block::missing(
                "There is no usage of these days.",
                &["pipeline collect docker", "pipeline materialize"],
            ));
        } else {
            section.blocks.push(self.contention_by_day());
            section.blocks.push(self.use_by_day());
        }
        section.blocks.extend(causes(source).await?);
        Ok(section)
    }

    fn contention_by_day(&self) -> Block {
        let share = |day: &Day| (day.hours > 0.0).then(|| day.contended / day.hours);
        let numbers = Table::of("Contended hours by day", &self.days)
            .text("day", |day| Timestamp(day.at as i64).date())
            .amount("resource-hours", Unit::Plain, |day| Some(day.hours))
            .amount("contended (%)", Unit::Share, |day| share(day))
            .amount("kills", Unit::Plain, |day| Some(day.kills))
            .table();
        let marks = self.days.iter().filter(|day| day.kills > 0.0);
        let panel = Panel {
            unit: Unit::Share,
            series: vec![Series {
                name: "contended hours".into(),
                ink: Ink::Blue,
                shape: Shape::Columns,
                points: self.days.iter().map(|day| (day.at, share(day))).collect(),
            }],
            marks: marks.map(|day| page::Mark { at: day.at, name: "killed for memory".into() }).collect(),
            ..Panel::default()
        };
        let caption = "Share of the resource-hours of each day in which a limit killed, throttled or stalled the work.";
        Block::figure(caption, Chart::Lines(Lines { scale: Scale::Time, panels: vec![panel] }), numbers)
    }

    fn use_by_day(&self) -> Block {
        let share = |(used, held): (f64, f64)| (held > 0.0).then(|| used / held);
        let numbers = Table::of("Used share of the limits by day", &self.days)
            .text("day", |day| Timestamp(day.at as i64).date())
            .amount("CPU used (%)", Unit::Share, |day| share(day.cpu))
            .amount("memory used (%)", Unit::Share, |day| share(day.memory))
            .table();
        let series = |name: &str, ink: Ink, of: fn(&Day) -> (f64, f64)| Series {
            name: name.to_owned(),
            ink,
            shape: Shape::Line,
            points: self.days.iter().map(|day| (day.at, share(of(day)))).collect(),
        };
        let all = vec![series("CPU", Ink::Blue, |day| day.cpu), series("memory", Ink::Orange, |day| day.memory)];
        let panel = Panel { unit: Unit::Share, series: all, ..Panel::default() };
        let caption =
            "How much of the limits was used each day, all resources that have one summed; the rest is slack.";
        Block::figure(caption, Chart::Lines(Lines { scale: Scale::Time, panels: vec![panel] }), numbers)
    }
}

/// What held runs back, by cause.
async fn causes(source: &Source<'_>) -> Result<Vec<Block>, Failure> {
    if !source.has("marts.runs") {
        return Ok(Vec::new());
    }
    let rows = source.ask("report_causes").await?;
    if rows.is_empty() {
        return Ok(vec![Block::text(
            "No run of these days has a measured cause: nothing was contended, or nothing was measured.",
        )]);
    }
    let name = |row: &Value| row["label"].as_str().unwrap_or_default().replace('_', " ");
    let numbers = Table::of("Runs by what explains how they went", &rows)
        .text("cause", |row| name(row))
        .amount("runs", Unit::Plain, |row| row["runs"].as_f64())
        .amount("jobs", Unit::Plain, |row| row["jobs"].as_f64())
        .amount("time (h)", Unit::Hours, |row| row["hours"].as_f64())
        .table();
    let value = |row: &Value| row["runs"].as_f64().unwrap_or_default();
    let bars = rows.iter().map(|row| Bar { name: name(row), value: value(row), ..Bar::default() }).collect();
    let caption =
        "Runs by the cause that explains how they went: killed for memory, throttled, slow disk, flaky and others.";
    Ok(vec![Block::figure(caption, Chart::Bars(Bars { bars, ..Bars::default() }), numbers)])
}
