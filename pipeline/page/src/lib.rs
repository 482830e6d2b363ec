//! Pages for people: texts, tables and charts become one self-contained HTML file, or Markdown for a comment.
//!
//! Owns how things look: the templates, the style, the few lines of script, the charts. Knows no lake, reads no file and
//! decides nothing: the caller says what is on a page. Every text is escaped on its way out, so that nothing that a dump or a
//! file holds becomes markup.

mod block;
mod chart;
mod html;
mod markdown;
mod paint;
mod unit;

pub use block::{Block, Cell, Column, Fact, Figure, Filled, Number, Page, Section, Table, Tone};
pub use chart::{
    Band, Bar, Bars, Chart, Lanes, Lines, Mark, Panel, Point, Points, Row, Scale, Series, Shape, Span, Track, Tracks,
};
pub use html::{PageError, html};
pub use markdown::{Cut, markdown, text as markdown_text};
pub use paint::Ink;
pub use unit::Unit;
