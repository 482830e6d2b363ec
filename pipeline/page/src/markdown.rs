//! A page as Markdown, for the comment on a pull request or the summary of a CI step: what matters in front, the rest folded.
//! GitHub drops a comment of more than 65,536 characters and a whole summary of more than 1 MiB.

use crate::block::{Block, Fact, Page, Section, Table};
use std::fmt::Write;

/// How much of a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the whole text.
    pub bytes: usize,
    /// Rows of a table.
    pub rows: usize,
}

impl Default for Cut {
    /// At most 60 KB.
    fn default() -> Self {
        Self { bytes: 60_000, rows: 20 }
    }
}

/// The text, with the state in a hidden line in front, so that the comment is found again. Sections that do not fit are named.
pub fn markdown(page: &Page, cut: Cut) -> String {
    let mut out = marker(page);
    let _ = write!(out, "### {}\n\n{}\n", text(&page.verdict), text(&page.about));
    if !page.facts.is_empty() {
        let _ = write!(out, "\n{}\n", facts(&page.facts).join(" · "));
    }
    if !page.numbers.is_empty() {
        out.push_str("\n| | | 95 % interval | |\n| --- | ---: | --- | --- |\n");
        for number in &page.numbers {
            let cells = [&number.name, &number.value, &number.interval, &number.note].map(|cell| text(cell));
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
    for block in &page.first {
        out.push_str(&self::block(block, cut));
    }
    let end = format!("\n{}\n", text(&page.made));
    let mut left_out = Vec::new();
    for section in &page.sections {
        let whole = folded(section, cut);
        // Room for the names of what does not fit.
        if out.len() + whole.len() + end.len() + 400 > cut.bytes {
            left_out.push(text(&section.title));
            continue;
        }
        out.push_str(&whole);
    }
    if !left_out.is_empty() {
        let line = format!("\nLeft out, for room: {}.\n", left_out.join(", "));
        out.push_str(&line[..floor(&line, 380)]);
    }
    out.push_str(&end);
    out.truncate(floor(&out, cut.bytes));
    out
}

/// The hidden line: nothing in it ends it, or looks like markup.
fn marker(page: &Page) -> String {
    let state = page.state.to_string().replace('-', "\\u002d").replace('<', "\\u003c").replace('>', "\\u003e");
    format!("<!-- pipeline-report {state} -->\n")
}

/// The largest length up to `bytes` that cuts no character.
fn floor(text: &str, bytes: usize) -> usize {
    (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn folded(section: &Section, cut: Cut) -> String {
    let badge = if section.badge.is_empty() { String::new() } else { format!(" ({})", text(&section.badge)) };
    let mut out = format!("\n<details><summary>{}{badge}</summary>\n\n", text(&section.title));
    if !section.about.is_empty() {
        let _ = writeln!(out, "{}", text(&section.about));
    }
    for block in &section.blocks {
        out.push_str(&self::block(block, cut));
    }
    for part in &section.parts {
        let badge = if part.badge.is_empty() { String::new() } else { format!(" — {}", text(&part.badge)) };
        let _ = write!(out, "\n#### {}{badge}\n\n{}\n", text(&part.title), text(&part.about));
        for block in &part.blocks {
            out.push_str(&self::block(block, cut));
        }
    }
    out.push_str("\n</details>\n");
    out
}

fn block(piece: &Block, cut: Cut) -> String {
    match piece {
        Block::Text { text: said } => format!("\n{}\n", text(said)),
        Block::List { items } => items.iter().fold("\n".to_owned(), |out, item| format!("{out}- {}\n", text(item))),
        Block::Facts { facts: all } => {
            facts(all).into_iter().fold("\n".to_owned(), |out, fact| format!("{out}- {fact}\n"))
        }
        Block::Table(table) => self::table(table, cut.rows),
        // A picture cannot be in a comment; its numbers can.
        Block::Figure(figure) => format!("\n{}\n{}", text(&figure.caption), table(&figure.numbers, cut.rows / 2)),
        Block::Command { about, lines } => {
            let about = if about.is_empty() { String::new() } else { format!("\n{}\n", text(about)) };
            format!("{about}\n{}", fenced(lines))
        }
        Block::Group { blocks } => blocks.iter().map(|inner| block(inner, cut)).collect(),
        // Folded inside a fold nobody finds it: the HTML has it.
        Block::Fold { .. } => String::new(),
        Block::Missing { what, how } if how.is_empty() => format!("\n{}\n", text(what)),
        Block::Missing { what, how } => format!("\n{}\n\n{}", text(what), fenced(how)),
    }
}

/// Lines of a shell, whatever they hold: the fence is longer than any in them.
fn fenced(lines: &[String]) -> String {
    let ticks = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(ticks.max(2) + 1);
    let lines: Vec<String> = lines.iter().map(|line| line.replace(['\n', '\r'], " ")).collect();
    format!("{fence}sh\n{}\n{fence}\n", lines.join("\n"))
}

fn facts(facts: &[Fact]) -> Vec<String> {
    let value = |fact: &Fact| match fact.code && fact.value.bytes().all(|b| b.is_ascii_graphic() && b != b'`') {
        true => format!("`{}`", fact.value),
        false => text(&fact.value),
    };
    facts.iter().map(|fact| format!("{}: {}", text(&fact.name), value(fact))).collect()
}

fn table(table: &Table, rows: usize) -> String {
    let mut out = "\n".to_owned();
    let heads: Vec<String> = table.columns.iter().map(|column| text(&column.name)).collect();
    let _ = writeln!(out, "| {} |", heads.join(" | "));
    let rules = table.columns.iter().map(|column| if column.number { " ---: |" } else { " --- |" });
    let _ = writeln!(out, "|{}", rules.collect::<String>());
    for row in table.rows.iter().take(rows) {
        let cells: Vec<String> = row.iter().map(|cell| text(&cell.text)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    let more = table.left_out + table.rows.len().saturating_sub(rows);
    if more > 0 {
        let _ = write!(out, "\n{more} more are not shown.\n");
    }
    out
}

/// Names and reasons come from dumps and files: they are text, whatever Markdown would make of them.
pub fn text(from: &str) -> String {
    let mut safe = String::with_capacity(from.len());
    for c in from.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '@' => safe.extend(['\\', c]),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Cell, Column};

    #[test]
    fn a_name_cannot_become_markup() {
        assert_eq!(text("a|b `x` <img> @team\n#1"), "a\\|b \\`x\\` &lt;img&gt; \\@team \\#1");
        assert_eq!(fenced(&["```\nrm -rf".to_owned()]), "````sh\n``` rm -rf\n````\n");
    }

    #[test]
    fn a_long_page_is_cut_and_says_what_is_missing() {
        let table = Table {
            columns: vec![Column::text("name")],
            rows: vec![vec![Cell::text("ü".repeat(200))]; 50],
            ..Table::default()
        };
        let section = |n: usize| Section::new(format!("Part {n}"), "").with([Block::Table(table.clone())]);
        let page = Page {
            verdict: "All well".into(),
            sections: (0..40).map(section).collect(),
            state: serde_json::json!({"name": "--><script>"}),
            ..Page::default()
        };
        let made = markdown(&page, Cut::default());
        assert!(made.len() <= 60_000, "{}", made.len());
        assert!(made.contains("Left out, for room: Part ") && made.contains("30 more are not shown"), "{made}");
        assert_eq!(made.matches("-->").count(), 1);
        assert!(made.starts_with("<!-- pipeline-report {"));
    }
}
