//! What a page is made of.

use crate::chart::Chart;
use crate::unit::Unit;
use serde::{Deserialize, Serialize};

/// One page.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Page {
    /// Of the browser's tab, and above the verdict.
    pub title: String,
    /// What it is about, in a line: which lake, which days.
    pub about: String,
    /// The sentence that everything else explains.
    pub verdict: String,
    /// How it stands.
    pub tone: Tone,
    /// What goes with the verdict: id, digest, age.
    pub facts: Vec<Fact>,
    /// The figures of the first screen.
    pub numbers: Vec<Number>,
    /// What else is on the first screen.
    pub first: Vec<Block>,
    /// What follows.
    pub sections: Vec<Section>,
    /// Who made it, when.
    pub made: String,
    /// What the next page is compared with; hidden.
    pub state: serde_json::Value,
}

/// How something stands. Never told by colour alone: it stands beside a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Nothing to see to.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
}

/// A name and its value.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether it is for machines: an id, a digest.
    pub code: bool,
}

impl Fact {
    /// In words.
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), code: false }
    }

    /// An id or a digest.
    pub fn code(name: &str, value: impl Into<String>) -> Self {
        Self { code: true, ..Self::new(name, value) }
    }
}

/// A figure of the first screen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Number {
    /// What it is.
    pub name: String,
    /// Its value with the unit.
    pub value: String,
    /// How sure it is: `95 %: 61 to 72 %`.
    pub interval: String,
    /// What it is measured on.
    pub note: String,
    /// How it stands.
    pub tone: Tone,
}

/// A part of a page with a heading.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Section {
    /// Unique on its page: letters, digits and hyphens.
    pub id: String,
    /// The heading.
    pub title: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// A word beside the heading: what is to be done.
    pub badge: String,
    /// How it stands.
    pub tone: Tone,
    /// What it holds.
    pub blocks: Vec<Block>,
    /// Smaller parts.
    pub parts: Vec<Section>,
}

impl Section {
    /// An empty one.
    pub fn new(title: impl Into<String>, about: impl Into<String>) -> Self {
        let title = title.into();
        Self { id: id(&title), title, about: about.into(), ..Self::default() }
    }

    /// The same with these blocks.
    #[must_use]
    pub fn with(mut self, blocks: impl IntoIterator<Item = Block>) -> Self {
        self.blocks.extend(blocks);
        self
    }
}

/// A name as an id of HTML.
pub(crate) fn id(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().take(60) {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => out.push(c),
            _ if !out.ends_with('-') => out.push('-'),
            _ => {}
        }
    }
    out.trim_matches('-').to_owned()
}

/// A piece of a section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Block {
    /// A paragraph.
    Text {
        /// Its text.
        text: String,
    },
    /// Points.
    List {
        /// Each of them.
        items: Vec<String>,
    },
    /// Names and values.
    Facts {
        /// Each of them.
        facts: Vec<Fact>,
    },
    /// A table to be read and sorted.
    Table(Table),
    /// A chart with its numbers.
    Figure(Box<Figure>),
    /// What to type.
    Command {
        /// What it does.
        about: String,
        /// The lines.
        lines: Vec<String>,
    },
    /// Pieces that stand together, beside a chart.
    Group {
        /// Each of them.
        blocks: Vec<Block>,
    },
    /// Pieces that are there for whoever asks.
    Fold {
        /// What they are.
        summary: String,
        /// Each of them.
        blocks: Vec<Block>,
    },
    /// Something that is not there yet, and how to get it.
    Missing {
        /// What is missing.
        what: String,
        /// The commands that bring it.
        how: Vec<String>,
    },
}

impl Block {
    /// A paragraph.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// Something that is not there yet.
    pub fn missing(what: impl Into<String>, how: &[&str]) -> Self {
        Self::Missing { what: what.into(), how: how.iter().map(|line| (*line).to_owned()).collect() }
    }

    /// A chart with its numbers.
    pub fn figure(caption: impl Into<String>, chart: Chart, numbers: Table) -> Self {
        Self::Figure(Box::new(Figure { caption: caption.into(), chart, numbers }))
    }
}

/// A chart, a sentence that says what it shows, and its numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What it shows.
    pub caption: String,
    /// It.
    pub chart: Chart,
    /// Its numbers.
    pub numbers: Table,
}

/// Rows and columns.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// What it lists.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<Vec<Cell>>,
    /// Rows that are not shown.
    pub left_out: usize,
}

impl Table {
    /// Without rows.
    pub fn new(caption: impl Into<String>, columns: Vec<Column>) -> Self {
        Self { caption: caption.into(), columns, ..Self::default() }
    }

    /// One whose columns are still to be added, each with what it has of each row.
    pub fn of<R>(caption: impl Into<String>, rows: impl IntoIterator<Item = R>) -> Filled<R> {
        let of: Vec<R> = rows.into_iter().collect();
        let rows = of.iter().map(|_| Vec::new()).collect();
        Filled { of, table: Self { rows, ..Self::new(caption, Vec::new()) } }
    }

    /// Keeps so many rows, and counts the rest.
    #[must_use]
    pub fn at_most(mut self, rows: usize) -> Self {
        self.left_out += self.rows.len().saturating_sub(rows);
        self.rows.truncate(rows);
        self
    }
}

/// A column of a table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Column {
    /// Its heading, with the unit.
    pub name: String,
    /// Whether it holds numbers.
    pub number: bool,
}

impl Column {
    /// Of texts.
    pub fn text(name: &str) -> Self {
        Self { name: name.to_owned(), number: false }
    }

    /// Of numbers.
    pub fn number(name: &str) -> Self {
        Self { name: name.to_owned(), number: true }
    }
}

/// A table while its columns are added.
pub struct Filled<R> {
    of: Vec<R>,
    table: Table,
}

impl<R> Filled<R> {
    /// A column of texts.
    #[must_use]
    pub fn text<T: Into<String>>(self, name: &str, of: impl Fn(&R) -> T) -> Self {
        self.cells(Column::text(name), |row| Cell::text(of(row)))
    }

    /// A column of amounts.
    #[must_use]
    pub fn amount(self, name: &str, unit: Unit, of: impl Fn(&R) -> Option<f64>) -> Self {
        self.cells(Column::number(name), |row| Cell::amount(unit, of(row)))
    }

    /// A column of anything else.
    #[must_use]
    pub fn cells(mut self, column: Column, of: impl Fn(&R) -> Cell) -> Self {
        self.table.columns.push(column);
        self.table.rows.iter_mut().zip(&self.of).for_each(|(cells, row)| cells.push(of(row)));
        self
    }

    /// With all of its columns.
    pub fn table(self) -> Table {
        self.table
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cell {
    /// What stands there.
    pub text: String,
    /// What it is sorted by, where that is not the text.
    pub sort: Option<f64>,
    /// How it stands.
    pub tone: Tone,
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// An amount; a dash where there is none.
    pub fn amount(unit: Unit, value: Option<f64>) -> Self {
        match value.filter(|value| value.is_finite()) {
            Some(value) => Self { text: unit.format(value), sort: Some(value), tone: Tone::Plain },
            None => Self::text("–"),
        }
    }

    /// The same, standing so.
    #[must_use]
    pub fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}
