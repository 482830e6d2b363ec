//! Where the bottlenecks of the fleet are: contention and use by day, and what held runs back.

use super::super::Source;
use super::{Day, Fleet};
use crate::failure::Failure;
use domain::Timestamp;
use page::{Bar, Bars, Block, Cell, Chart, Column, Ink, Lines, Panel, Scale, Section, Series, Shape, Table, Unit};

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
        let columns = vec![
            Column::text("day"),
            Column::number("resource-hours"),
            Column::number("contended (%)"),
            Column::number("kills"),
        ];
        let mut numbers = Table::new("Contended hours by day", columns);
        let share = |day: &Day| (day.hours > 0.0).then(|| day.contended / day.hours);
        for day in &self.days {
            numbers.rows.push(vec![
                Cell::text(Timestamp(day.at as i64).date()),
                Cell::amount(Unit::Plain, Some(day.hours)),
                Cell::amount(Unit::Share, share(day)),
                Cell::amount(Unit::Plain, Some(day.kills)),
            ]);
        }
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
        let columns = vec![Column::text("day"), Column::number("CPU used (%)"), Column::number("memory used (%)")];
        let mut numbers = Table::new("Used share of the limits by day", columns);
        for day in &self.days {
            numbers.rows.push(vec![
                Cell::text(Timestamp(day.at as i64).date()),
                Cell::amount(Unit::Share, share(day.cpu)),
                Cell::amount(Unit::Share, share(day.memory)),
            ]);
        }
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
    let columns =
        vec![Column::text("cause"), Column::number("runs"), Column::number("jobs"), Column::number("time (h)")];
    let mut numbers = Table::new("Runs by what explains how they went", columns);
    let mut bars = Vec::new();
    for row in &rows {
        let name = row["label"].as_str().unwrap_or_default().replace('_', " ");
        let number = |key: &str| row[key].as_f64();
        bars.push(Bar { name: name.clone(), value: number("runs").unwrap_or_default(), ..Bar::default() });
        numbers.rows.push(vec![
            Cell::text(name),
            Cell::amount(Unit::Plain, number("runs")),
            Cell::amount(Unit::Plain, number("jobs")),
            Cell::amount(Unit::Hours, number("hours")),
        ]);
    }
    let caption =
        "Runs by the cause that explains how they went: killed for memory, throttled, slow disk, flaky and others.";
    Ok(vec![Block::figure(caption, Chart::Bars(Bars { bars, ..Bars::default() }), numbers)])
}
