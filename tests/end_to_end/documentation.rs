//! Every column of every table is documented where it is made, and `pipeline/docs/tables.md` contains the same text.
//!
//! `UPDATE=1` writes the page anew.

use crate::program::{Place, checkout};
use std::collections::BTreeMap;
use std::fmt::Write;

const NOW: &str = "2026-11-01T00:00:00Z";

/// A lake with every table in it.
fn whole() -> Place {
    let place = Place::new();
    let given = checkout().join("tests/sql/predictions/shadow_inventory/given").display().to_string();
    place.ingest(&[&given]);
    place.json(&["materialize"]);
    place.json(&["--now", NOW, "shadow", "--horizon", "1h"]);
    place.json(&["--now", NOW, "anomalies"]);
    place
}

fn text(row: &serde_json::Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}

/// Each table with its columns and their types, as the engine sees them.
fn columns(place: &Place) -> BTreeMap<String, Vec<(String, String)>> {
    let mut tables: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let query = "select concat(table_schema, '.', table_name) as t, column_name as c, data_type as d \
        from information_schema.columns where table_schema <> 'information_schema' order by t, ordinal_position";
    for row in place.sql(query) {
        tables.entry(text(&row, "t")).or_default().push((text(&row, "c"), text(&row, "d")));
    }
    tables
}

#[test]
fn every_column_is_documented_and_every_documented_column_is_there() {
    let place = whole();
    let mut documented: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in place.sql("select * from session.columns order by table_name, position") {
        documented.entry(text(&row, "table_name")).or_default().push(text(&row, "column_name"));
    }
    let there: BTreeMap<String, Vec<String>> = columns(&place)
        .into_iter()
        .map(|(table, columns)| (table, columns.into_iter().map(|(name, _)| name).collect()))
        .collect();
    assert!(there.len() > 20, "{there:?}");
    for table in there.keys().chain(documented.keys()) {
        assert_eq!(
            there.get(table),
            documented.get(table),
            "{table}: the table, and what its file says behind each column"
        );
    }
}

#[test]
fn describe_shows_what_a_column_means() {
    let place = whole();
    for name in ["marts.usage", "usage", "lake.marts.usage", "MARTS.Usage"] {
        let rows = place.sql(&format!("describe {name}"));
        let share = rows.iter().find(|row| row["column_name"] == "throttled_ratio").unwrap();
        assert_eq!(share["description"], "Share of CFS periods that were throttled. [0 to 1]");
        assert_eq!(share["data_type"], "Float64");
    }
    let ended = place.run(&["sql", "describe marts.nothing"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("marts.nothing"), "{}", ended.err);
}

#[test]
fn the_page_of_tables_is_what_the_tables_say() {
    let place = whole();
    let types = columns(&place);
    let mut page = String::from(
        "# Tables\n\nThis page is generated from the comment after each column in `sql/<schema>/<table>.sql`. To regenerate it, run\n\
         `UPDATE=1 cargo test -p cli --test end_to_end page_of_tables`. `pipeline sql \"describe marts.runs\"` shows the same text, \
         and\n`session.tables` and `session.columns` can be queried. The brackets contain the rules that must hold for a column.\n\
         `pipeline check` asserts these rules and the keys.\n",
    );
    let mut rows = place.sql("select * from session.columns order by table_name, position").into_iter().peekable();
    for table in place.sql("select * from session.tables order by table_name") {
        let name = text(&table, "table_name");
        let _ = write!(page, "\n## {name}\n\n{}\n\n| column | type | |\n|---|---|---|\n", text(&table, "description"));
        while let Some(row) = rows.next_if(|row| row["table_name"] == name.as_str()) {
            let column = text(&row, "column_name");
            let (_, data_type) = types[&name].iter().find(|(name, _)| *name == column).unwrap();
            let rules = text(&row, "rules");
            let rules = if rules.is_empty() { rules } else { format!(" [{rules}]") };
            let _ = writeln!(page, "| `{column}` | {} | {}{rules} |", plain(data_type), text(&row, "description"));
        }
    }
    let path = checkout().join("pipeline/docs/tables.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "pipeline/docs/tables.md is stale: UPDATE=1 writes it"
    );
}

/// The engine's type in a word.
fn plain(data_type: &str) -> &str {
    match data_type {
        "Utf8" | "Utf8View" | "LargeUtf8" => "text",
        "Int64" | "Int32" | "UInt64" => "integer",
        "Float64" => "number",
        "Boolean" => "true or false",
        "Date32" => "date",
        time if time.starts_with("Timestamp") => "time",
        list if list.starts_with("List") => "list",
        record if record.starts_with("Struct") => "record",
        other => other,
    }
}

/// Where the links of a page lead: the targets of `](…)`, those of the network aside.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.contains(char::is_whitespace)).collect()
}

/// A heading as a link names it: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    plain
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_of_the_pages_leads_somewhere_and_every_page_is_linked() {
    let mut pages = vec![checkout().join("README.md")];
    for folder in ["pipeline/docs", "pipeline/docs/formats", ".github", "jobs", "data-samples", "tests/peers"] {
        let entries = std::fs::read_dir(checkout().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    let mut linked = std::collections::BTreeSet::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for link in links(&text) {
            let (path, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            let target = target.canonicalize().unwrap();
            if !place.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(headings.any(|heading| anchor(heading) == place), "{}: {link} has no heading", page.display());
            }
            linked.insert(target);
        }
    }
    for page in pages.iter().filter(|page| page.starts_with(checkout().join("pipeline/docs"))) {
        assert!(linked.contains(page), "no page links to {}", page.display());
    }
}
