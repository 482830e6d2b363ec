//! SQL files as sections: those of `sql/reports`, and files of one's own. The head of a file says what it shows and how:
//! `-- chart: line | bar | columns | table [X] [Y,…]`.

use super::Source;
use crate::commands::sql::reports;
use crate::failure::{Exit, Failure};
use domain::Timestamp;
use lake::{Declared, Parameters};
use page::{Bar, Bars, Block, Cell, Chart, Column, Ink, Lines, Panel, Scale, Section, Series, Shape, Table, Unit};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Rows of a table on the page, numbers behind a chart, its bars, its lines.
const ROWS: usize = 20;
const CHARTED: usize = 100;
const BARS: usize = 12;
const SERIES: usize = 4;

/// Reports that the page shows at places of their own.
const PLACED: [&str; 9] = [
    "anomalies",
    "slowest-jobs",
    "flakiest-tests",
    "pr-cost",
    "queue-by-hour",
    "starved-or-idle",
    "plans-helped",
    "track-record",
    "predictions-held",
];

/// The reports that have no place of their own yet: a new file is on the page at once.
pub fn others() -> Vec<String> {
    let names = lake::sql_files("reports").into_iter().map(|file| file.name.table);
    names.filter(|name| !PLACED.contains(&name.as_str())).collect()
}

/// The rows of a report over the days shown.
pub async fn rows(source: &Source<'_>, name: &str) -> Result<Vec<Value>, Failure> {
    let (script, declared) = reports::read(name)?;
    Ok(ask(source, script, declared).await?.rows)
}

/// What a query gave: JSON objects forget the order of their columns.
#[derive(Default)]
struct Found {
    columns: Vec<String>,
    rows: Vec<Value>,
}

impl Found {
    fn columns(&self) -> Vec<String> {
        let filled = |name: &&String| self.rows.iter().any(|row| !row[name.as_str()].is_null());
        self.columns.iter().filter(filled).cloned().collect()
    }
}

async fn ask(source: &Source<'_>, script: Vec<lake::Statement>, declared: Vec<Declared>) -> Result<Found, Failure> {
    let known = |name: &str| declared.iter().any(|declared| declared.name == name);
    let mut given = BTreeMap::new();
    if known("days") {
        given.insert("days".to_owned(), source.days().to_string());
    }
    if let Some(resource) = source.resource.filter(|_| known("resource")) {
        given.insert("resource".to_owned(), resource.to_owned());
    }
    let parameters = Parameters::new(given, declared);
    let mut found = Found::default();
    for statement in script {
        let query = source.session.start(&statement, &parameters).await?;
        for field in query.schema().fields() {
            if !found.columns.contains(field.name()) {
                found.columns.push(field.name().clone());
            }
        }
        found.rows.extend(query.collect().await?.to_json()?);
    }
    Ok(found)
}

/// A report of `sql/reports` as a section.
pub async fn report(source: &Source<'_>, name: &str) -> Result<Section, Failure> {
    let files = lake::sql_files("reports");
    let Some(file) = files.iter().find(|file| file.name.table == name) else {
        return Err(Failure::new(Exit::Failed, format!("there is no report {name}")));
    };
    let head =
        Head::read(&file.text).map_err(|wrong| Failure::new(Exit::Failed, format!("{}: {wrong}", file.path())))?;
    let (script, declared) = reports::read(name)?;
    match ask(source, script, declared).await {
        Ok(mut found) => {
            // A prediction that no run has followed yet says nothing.
            let all = found.rows.len();
            found.rows.retain(|row| row["came"] != 0);
            if all > 0 && found.rows.is_empty() {
                let what = "Predictions were made, and none of their runs has come yet.";
                return Ok(Section::new(head.title(name), &head.about).with([Block::text(what)]));
            }
            Ok(head.section(name, &found, &format!("pipeline sql -f {name}")))
        }
        // A table that is not there yet: the section says so, and the rest of the page is made.
        Err(failure) => Ok(head.broken(name, &failure)),
    }
}

/// A file of one's own as a section. What is wrong with it is told, not shown.
pub async fn own(source: &Source<'_>, path: &Path) -> Result<Section, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let wrong = |what: String| {
        Failure::new(Exit::Usage, format!("{}: {what}", path.display()))
            .hint("write `-- chart: bar job_key p50_s,p90_s`, or line, columns or table")
    };
    let head = Head::read(&text).map_err(wrong)?;
    let (script, declared) = reports::read(&path.display().to_string())?;
    let found = ask(source, script, declared).await?;
    let name = path.file_stem().map_or_else(|| "section".to_owned(), |stem| stem.to_string_lossy().into_owned());
    Ok(head.section(&name, &found, &format!("pipeline sql -f {}", super::ledger::quoted(&path.display().to_string()))))
}

/// Did last month's plans help, and did predictions hold: three reports under one heading.
pub async fn track_record(source: &Source<'_>) -> Result<Section, Failure> {
    let about = "What plans promised and what came of them, as the command verify measured it; and what was predicted of runs beside what \
                 they took.";
    let mut section = Section::new("Did it help?", about);
    for name in ["track-record", "plans-helped", "predictions-held"] {
        let mut part = report(source, name).await?;
        part.id = format!("helped-{}", part.id);
        section.parts.push(part);
    }
    Ok(section)
}

/// What the head of a SQL file says about it.
#[derive(Debug, Default, PartialEq)]
struct Head {
    /// Its first sentence.
    title: String,
    /// The rest, without what it reads and takes.
    about: String,
    kind: Kind,
    x: Option<String>,
    y: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    Line,
    Bar,
    Columns,
    #[default]
    Table,
}

impl Head {
    fn read(text: &str) -> Result<Self, String> {
        let lines = text.lines().take_while(|line| line.starts_with("--"));
        let mut head = Self::default();
        let mut prose = String::new();
        for line in lines.map(|line| line.trim_start_matches('-').trim()) {
            if let Some(chart) = line.strip_prefix("chart:").or_else(|| line.strip_prefix("Chart:")) {
                head.chart(chart)?;
            } else if !line.starts_with("Parameter ") {
                prose.push_str(line);
                prose.push(' ');
            }
        }
        let (first, rest) = prose.trim().split_once(". ").unwrap_or((prose.trim(), ""));
        // `Slowest builds, and why: one row per job …`: what stands before the colon is the heading.
        let (title, grain) = first.split_once(": ").unwrap_or((first, ""));
        head.title = title.trim_end_matches('.').to_owned();
        let rest: Vec<&str> = rest.split(". ").filter(|said| !said.starts_with("Reads ")).collect();
        let mut about = grain.trim_end_matches('.').to_owned();
        if let Some(first) = about.get(..1).map(str::to_uppercase) {
            about.replace_range(..1, &first);
            about.push_str(". ");
        }
        about.push_str(&rest.join(". "));
        head.about = plain(&about);
        Ok(head)
    }

    /// `bar job_key p50_s,p90_s`
    fn chart(&mut self, text: &str) -> Result<(), String> {
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        self.kind = match words.next() {
            Some("line") => Kind::Line,
            Some("bar") => Kind::Bar,
            Some("columns") => Kind::Columns,
            Some("table") => Kind::Table,
            other => return Err(format!("{} is no chart", other.unwrap_or("nothing"))),
        };
        self.x = words.next().map(str::to_owned);
        self.y = words.map(str::to_owned).collect();
        if self.y.len() > SERIES {
            return Err(format!("a chart shows at most {SERIES} columns, not {}", self.y.len()));
        }
        Ok(())
    }

    fn title(&self, name: &str) -> String {
        if self.title.is_empty() { name.replace(['-', '_'], " ") } else { self.title.clone() }
    }

    fn broken(&self, name: &str, failure: &Failure) -> Section {
        let why = failure.causes.last().unwrap_or(&failure.what);
        let missing = Block::missing(format!("This cannot be shown yet: {why}."), &["pipeline materialize"]);
        Section::new(self.title(name), &self.about).with([missing])
    }

    fn section(&self, name: &str, found: &Found, again: &str) -> Section {
        let section = Section::new(self.title(name), &self.about);
        let (rows, columns) = (&found.rows, found.columns());
        if columns.is_empty() {
            return section.with([Block::text("No rows in these days.")]);
        }
        let table = table(&self.title(name), rows, &columns).at_most(ROWS);
        let more = (table.left_out > 0)
            .then(|| Block::Command { about: "All of them:".into(), lines: vec![again.to_owned()] });
        let figure = self.figure(rows, &columns);
        let whole = Block::Table(table);
        match figure {
            // A chart has its numbers with it; a table that says more follows.
            Some(figure) if columns.len() <= 3 => section.with([figure]),
            Some(figure) => section.with([figure, whole]).with(more),
            None => section.with([whole]).with(more),
        }
    }

    /// The chart; none where the head wants none, or its columns are not there.
    fn figure(&self, rows: &[Value], columns: &[String]) -> Option<Block> {
        let is_number = |name: &&String| rows.iter().any(|row| row[name.as_str()].is_number());
        let x = self.x.clone().filter(|x| columns.contains(x)).or_else(|| columns.first().cloned())?;
        let mut y: Vec<String> = self.y.iter().filter(|name| columns.contains(name)).cloned().collect();
        if y.is_empty() {
            y.extend(columns.iter().filter(|name| **name != x).find(is_number).cloned());
        }
        let first = y.first()?.clone();
        let (_, unit) = Unit::of_column(&first);
        let words: Vec<String> =
            y.iter().map(|name| Unit::of_column(name)).map(|(name, unit)| unit.heading(&name)).collect();
        let (across, _) = Unit::of_column(&x);
        let caption = format!("{}: {} by {across}.", self.title(""), words.join(" and "));
        let chart = match self.kind {
            Kind::Table => return None,
            Kind::Bar => {
                let tick = y.get(1).cloned();
                let bars = rows.iter().take(BARS).filter_map(|row| {
                    Some(Bar {
                        name: said(&row[&x]),
                        value: row[&first].as_f64()?,
                        tick: tick.as_ref().and_then(|tick| row[tick].as_f64()),
                        ..Bar::default()
                    })
                });
                let named = |name: &String| Unit::of_column(name).0;
                let tick = tick.as_ref().map(named).unwrap_or_default();
                Chart::Bars(Bars { unit, value: named(&first), tick, bars: bars.collect() })
            }
            Kind::Line | Kind::Columns => {
                let timed = rows.iter().any(|row| super::fleet::time(&row[&x]).or_else(|| date(&row[&x])).is_some());
                let place = |row: &Value| match timed {
                    true => super::fleet::time(&row[&x]).or_else(|| date(&row[&x])).map(|at| at.0 as f64),
                    false => row[&x].as_f64(),
                };
                let inks = [Ink::Blue, Ink::Orange, Ink::Green, Ink::Grey];
                let series = y.iter().zip(inks).map(|(name, ink)| Series {
                    name: Unit::of_column(name).0,
                    ink,
                    shape: if self.kind == Kind::Columns && *name == first { Shape::Columns } else { Shape::Line },
                    points: rows.iter().filter_map(|row| Some((place(row)?, row[name].as_f64()))).collect(),
                });
                let panel = Panel { unit, series: series.collect(), ..Panel::default() };
                let scale = if timed { Scale::Time } else { Scale::Number };
                Chart::Lines(Lines { scale, panels: vec![panel] })
            }
        };
        let shown = [vec![x], y].concat();
        Some(Block::figure(caption, chart, table(&self.title(""), rows, &shown).at_most(CHARTED)))
    }
}

/// Names of columns as the table heads them: `usual_mae_s` is usual mae (s).
fn plain(text: &str) -> String {
    let word = |(n, word): (usize, &str)| {
        let (name, unit) = Unit::of_column(word);
        if n % 2 == 1 && word.contains('_') { unit.heading(&name) } else { word.to_owned() }
    };
    text.split('`').enumerate().map(word).collect::<String>().trim().to_owned()
}

/// A question of `sql/session` as a bar chart, with all it says as a table.
pub async fn bars(
    source: &Source<'_>,
    title: &str,
    question: &str,
    given: &[(&str, &str)],
    (x, y): (&str, &str),
) -> Result<Option<Vec<Block>>, Failure> {
    let (statement, parameters) = lake::asked(question, given)?;
    let query = source.session.start(&statement, &parameters).await?;
    let columns = query.schema().fields().iter().map(|field| field.name().clone()).collect();
    let found = Found { columns, rows: query.collect().await?.to_json()? };
    let columns = found.columns();
    if columns.is_empty() {
        return Ok(None);
    }
    let head = Head {
        title: title.to_owned(),
        kind: Kind::Bar,
        x: Some(x.to_owned()),
        y: vec![y.to_owned()],
        ..Head::default()
    };
    let table = table(title, &found.rows, &columns).at_most(ROWS);
    Ok(Some(head.figure(&found.rows, &columns).into_iter().chain([Block::Table(table)]).collect()))
}

/// A day, as a time.
fn date(value: &Value) -> Option<Timestamp> {
    Timestamp::parse(&format!("{}T00:00:00Z", value.as_str()?))
}

/// Rows of a query as a table.
fn table(caption: &str, rows: &[Value], columns: &[String]) -> Table {
    let units: Vec<(String, Unit)> = columns.iter().map(|name| Unit::of_column(name)).collect();
    let heads = columns.iter().zip(&units).map(|(column, (name, unit))| Column {
        name: unit.heading(name),
        number: rows.iter().any(|row| row[column].is_number()),
    });
    let mut table = Table::new(caption, heads.collect());
    for row in rows {
        let cells = columns.iter().zip(&units).map(|(column, (_, unit))| match &row[column] {
            Value::Number(number) => Cell::amount(*unit, number.as_f64()),
            other => Cell::text(said(other)),
        });
        table.rows.push(cells.collect());
    }
    table
}

/// A value that is no number.
fn said(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => match super::fleet::time(value) {
            Some(at) if text.len() > 10 => at.minute(),
            _ => limits(text).unwrap_or_else(|| text.clone()),
        },
        Value::Number(number) => Unit::Plain.format(number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

/// Limits that an event tells of.
fn limits(text: &str) -> Option<String> {
    let state: domain::plan::State = serde_json::from_str(text).ok().filter(|_| text.starts_with('{'))?;
    let cores = state.cpu_cores.map(|cores| Unit::Cores.say(cores));
    let bytes = state.memory_bytes.map(|bytes| Unit::Bytes.say(bytes as f64));
    let words: Vec<String> = [cores, bytes].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_what_it_shows_and_how() {
        let text = "-- Slowest builds, and why: one row per job.\n-- Reads marts.runs. Shares are of all.\n-- Parameter days: \
                    integer, default 30\n-- chart: bar job_key p50_s, p90_s\nselect 1";
        let head = Head::read(text).unwrap();
        assert_eq!(
            (head.title.as_str(), head.about.as_str()),
            ("Slowest builds, and why", "One row per job. Shares are of all.")
        );
        assert_eq!((head.kind, head.x.as_deref(), head.y.len()), (Kind::Bar, Some("job_key"), 2));
        assert_eq!(Head::read("-- chart: pie\nselect 1").unwrap_err(), "pie is no chart");
        assert_eq!(Head::read("select 1").unwrap(), Head::default());
        assert_eq!(plain("`usual_mae_s` is what `verify` says"), "usual mae (s) is what verify says");
    }

    #[test]
    fn every_report_has_a_chart_that_can_be_read() {
        for file in lake::sql_files("reports") {
            let head = Head::read(&file.text).unwrap();
            assert!(!head.title.is_empty() && !head.about.is_empty(), "{}: {head:?}", file.path());
            assert!(file.text.contains("\n-- chart: "), "{} names no chart", file.path());
        }
    }
}
