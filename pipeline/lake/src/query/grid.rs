//! Rows as aligned columns for people, or one value a line when they are too wide.
//!
//! The widths come from the first rows; the rest follows without being held in memory.

use crate::error::LakeError;
use crate::query::Query;
use crate::query::cells::{NULL, cut, fitting, texts, visible, width};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use std::io::Write;

/// Rows from which the widths are taken.
const SAMPLE_ROWS: usize = 1000;

/// No column is wider, unless it holds numbers or times: a number cut short is another number.
const CELL_COLUMNS: usize = 60;

/// A text is not cut shorter than this to make room for others.
const TEXT_COLUMNS: usize = 10;

/// Lines of one value when rows too wide for the terminal are shown one value a line without being asked for.
const VALUE_LINES: usize = 3;

/// When to write one value a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expanded {
    /// When the columns do not fit.
    #[default]
    Auto,
    /// Always, each value whole.
    On,
    /// Never.
    Off,
}

/// How rows are laid out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grid {
    /// Columns of the terminal; 0: no limit.
    pub width: usize,
    /// One value a line.
    pub expanded: Expanded,
    /// Nulls are dimmed.
    pub colour: bool,
    /// No more rows than this; none: all.
    pub rows: Option<usize>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Rows.
    pub rows: usize,
    /// Whether there are more.
    pub more: bool,
}

struct Layout {
    grid: Grid,
    names: Vec<String>,
    right: Vec<bool>,
    whole: Vec<bool>,
    widths: Vec<usize>,
    records: bool,
}

type Cells = Vec<Vec<Option<String>>>;

impl Query {
    /// Writes the rows as a table.
    pub async fn table(mut self, grid: Grid, out: &mut (dyn Write + Send)) -> Result<Shown, LakeError> {
        let failed = |e: ArrowError| LakeError::Format("table", e.into());
        let limit = grid.rows.unwrap_or(usize::MAX);
        let (mut sample, mut seen, mut more) = (Vec::new(), 0, false);
        while seen < SAMPLE_ROWS.min(limit) {
            let Some(batch) = self.next().await? else { break };
            let batch = part(batch, limit - seen, &mut more);
            seen += batch.num_rows();
            sample.push(batch);
        }
        let first: Vec<Cells> = sample.iter().map(cells).collect::<Result<_, _>>().map_err(failed)?;
        drop(sample);
        let layout = Layout::new(grid, &self.schema, &first);
        layout.head(out).map_err(|e| failed(e.into()))?;
        let mut row = 0;
        for cells in first {
            layout.rows(&cells, &mut row, out).map_err(|e| failed(e.into()))?;
        }
        while row < limit && !more {
            let Some(batch) = self.next().await? else { break };
            let batch = part(batch, limit - row, &mut more);
            layout.rows(&cells(&batch).map_err(failed)?, &mut row, out).map_err(|e| failed(e.into()))?;
        }
        if row == limit && !more {
            more = self.next().await?.is_some_and(|batch| batch.num_rows() > 0);
        }
        Ok(Shown { rows: row, more })
    }
}

/// The rows that may still be shown.
fn part(batch: RecordBatch, left: usize, more: &mut bool) -> RecordBatch {
    if batch.num_rows() <= left {
        return batch;
    }
    *more = true;
    batch.slice(0, left)
}

fn cells(batch: &RecordBatch) -> Result<Cells, ArrowError> {
    if batch.num_columns() == 0 {
        return Ok(Vec::new());
    }
    let shown = |text: Option<String>| text.map(|text| visible(&text).into_owned());
    let column = |column| Ok(texts(column)?.into_iter().map(shown).collect());
    batch.columns().iter().map(|array| column(array)).collect()
}

impl Layout {
    fn new(grid: Grid, schema: &SchemaRef, sample: &[Cells]) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| visible(field.name()).into_owned()).collect();
        let right: Vec<bool> = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
        let is_whole = |data_type: &DataType| data_type.is_numeric() || data_type.is_temporal();
        let whole: Vec<bool> = schema.fields().iter().map(|field| is_whole(field.data_type())).collect();
        let mut widths: Vec<usize> = names.iter().map(|name| width(name)).collect();
        for cells in sample {
            for ((most, column), whole) in widths.iter_mut().zip(cells).zip(&whole) {
                for cell in column {
                    let cell = width(cell.as_deref().unwrap_or(NULL));
                    *most = (*most).max(if *whole { cell } else { cell.min(CELL_COLUMNS) });
                }
            }
        }
        let least = widths.iter().zip(&whole).zip(&names);
        let least = least.map(|((most, whole), name)| match whole {
            true => *most,
            false => width(name).max(TEXT_COLUMNS).min(*most),
        });
        let least: Vec<usize> = least.collect();
        let fits = fit(&mut widths, &least, grid.width);
        let records = match grid.expanded {
            Expanded::Auto => !fits,
            Expanded::On => true,
            Expanded::Off => false,
        };
        Self { grid, names, right, whole, widths, records }
    }

    fn head(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if self.records {
            return Ok(());
        }
        let names = self.names.iter().map(|name| Some(name.as_str()));
        writeln!(out, "{}", self.line(names))?;
        let rules: Vec<String> = self.widths.iter().map(|width| "─".repeat(*width)).collect();
        writeln!(out, "{}", rules.join("  "))
    }

    fn rows(&self, cells: &Cells, row: &mut usize, out: &mut dyn Write) -> std::io::Result<()> {
        for at in 0..cells.first().map_or(0, Vec::len) {
            *row += 1;
            let values = cells.iter().map(|column| column[at].as_deref());
            if self.records {
                self.record(values, *row, out)?;
            } else {
                writeln!(out, "{}", self.line(values))?;
            }
        }
        Ok(())
    }

    fn line<'a>(&self, cells: impl Iterator<Item = Option<&'a str>>) -> String {
        let mut line = String::new();
        for (at, cell) in cells.enumerate() {
            let (most, right) = (self.widths[at], self.right[at]);
            let text = cell.unwrap_or(NULL);
            // On a terminal no cell pushes the others away; elsewhere it is whole up to the usual limit.
            let limit = match (self.whole[at], self.grid.width) {
                (true, _) => usize::MAX,
                (false, 0) => most.max(CELL_COLUMNS),
                (false, _) => most,
            };
            let text = cut(text, limit);
            let fill = " ".repeat(most.saturating_sub(width(&text)));
            let text = if cell.is_none() { self.null() } else { text.into_owned() };
            if at > 0 {
                line.push_str("  ");
            }
            line.push_str(&if right { format!("{fill}{text}") } else { format!("{text}{fill}") });
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn null(&self) -> String {
        if self.grid.colour { format!("\u{1b}[2m{NULL}\u{1b}[0m") } else { NULL.to_owned() }
    }

    fn record<'a>(
        &self,
        cells: impl Iterator<Item = Option<&'a str>>,
        row: usize,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        writeln!(out, "── {row} ──")?;
        let label = self.names.iter().map(|name| width(name)).max().unwrap_or(0);
        let room = match self.grid.width {
            0 => usize::MAX,
            wide => wide.saturating_sub(label + 2).max(20),
        };
        let most = if self.grid.expanded == Expanded::On { usize::MAX } else { VALUE_LINES };
        for (name, cell) in self.names.iter().zip(cells) {
            let fill = " ".repeat(label - width(name));
            let Some(mut rest) = cell else {
                writeln!(out, "{name}{fill}  {}", self.null())?;
                continue;
            };
            for line in 0.. {
                let last = line + 1 >= most;
                let text = if last { cut(rest, room) } else { rest[..fitting(rest, room)].into() };
                let lead = if line == 0 { format!("{name}{fill}") } else { " ".repeat(label) };
                writeln!(out, "{}", format!("{lead}  {text}").trim_end())?;
                rest = if last { "" } else { &rest[fitting(rest, room)..] };
                if rest.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Takes from the widest columns until the line fits, none below its least width; false when it cannot fit.
fn fit(widths: &mut [usize], least: &[usize], limit: usize) -> bool {
    let gaps = widths.len().saturating_sub(1) * 2;
    while limit > 0 && widths.iter().sum::<usize>() + gaps > limit {
        let spare = widths.iter_mut().zip(least).filter(|(width, least)| **width > **least).max_by_key(|(w, _)| **w);
        let Some((widest, _)) = spare else { return false };
        *widest -= 1;
    }
    true
}
