//! Since the last report: each page holds, hidden, the figures that it showed, and the next one is compared with them. Nothing
//! is kept anywhere else.

use super::fleet::Fleet;
use super::ledger::Standing;
use crate::failure::{Exit, Failure};
use crate::values::share;
use domain::Timestamp;
use domain::ledger::Entry;
use domain::plan::{Action, Plan};
use page::{Block, Cell, Column, Page, Section, Table, Tone, Unit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

/// No report is longer.
const MOST: u64 = 16 << 20;

/// Which share of itself a figure must have moved by, to have changed.
#[derive(Clone, Copy, Debug)]
pub struct MinChange(f64);

/// `5%` or `0.05`.
pub fn parse_min_change(text: &str) -> Result<MinChange, String> {
    share(0.0..=1.0, "write it as 5% or 0.05")(text).map(MinChange)
}

/// What a report showed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// By which clock it was made.
    pub at: Timestamp,
    plan_id: Option<String>,
    stands: String,
    /// What the plan does, by resource.
    changes: BTreeMap<String, String>,
    figures: BTreeMap<String, f64>,
    /// Which resources are starved or idle.
    resources: BTreeMap<String, String>,
}

impl State {
    /// Of the report that is being made.
    pub fn of(at: Timestamp, standing: Option<&Standing>, fleet: &Fleet) -> Self {
        let plan: Option<&Plan> = standing.map(|standing| &standing.plan);
        let acts = plan.into_iter().flat_map(|plan| &plan.items).filter(|item| item.action != Action::None);
        Self {
            at,
            plan_id: plan.map(|plan| plan.plan_id.clone()),
            stands: standing.map_or(String::new(), |standing| format!("{:?}", standing.stands)),
            changes: acts.map(|item| (item.resource.clone(), super::planned::change_in_words(item))).collect(),
            figures: fleet.figures(plan),
            resources: fleet.states(),
        }
    }

    /// What is known of the last report, where nothing that matters moved since.
    pub fn unchanged(&self, now: &Self, least: MinChange) -> Option<String> {
        let same = self.changes == now.changes
            && self.stands == now.stands
            && self.resources == now.resources
            && self.moved(now, least).is_empty();
        same.then(|| format!("Nothing changed since the report of {}.", self.at.minute()))
    }

    /// Figures that moved, with what they were.
    fn moved<'a>(&self, now: &'a Self, least: MinChange) -> Vec<(&'a String, Option<f64>, Option<f64>)> {
        let names = now.figures.keys();
        let moved = names.map(|name| (name, self.figures.get(name).copied(), now.figures.get(name).copied()));
        let far = |before: Option<f64>, after: Option<f64>| match (before, after) {
            (Some(before), Some(after)) => (after - before).abs() > least.0 * before.abs().max(after.abs()),
            (before, after) => before.is_some() != after.is_some(),
        };
        moved.filter(|(_, before, after)| far(*before, *after)).collect()
    }
}

/// The state of a report that a person names.
pub fn read(path: &Path) -> Result<State, Failure> {
    let file = fs::File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).map_err(|error| Failure::file("read", path, &error))?;
    state(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("{} is no report of this program", path.display()))
            .hint("give one that `pipeline report` wrote, or leave --previous out")
    })
}

/// The state of what is at the place of the next report, where that is one.
pub fn there(path: &Path) -> Option<State> {
    let found = fs::metadata(path).ok()?;
    if found.is_file() { read(path).ok() } else { None }
}

/// The hidden part of a report, HTML, Markdown or JSON.
fn state(text: &str) -> Option<State> {
    let json = if let Some((_, rest)) = text.split_once("<!-- pipeline-report ") {
        rest.split_once(" -->")?.0
    } else if let Some((_, rest)) = text.split_once("<script type=\"application/json\" id=\"pipeline-report\">") {
        rest.split_once("</script>")?.0
    } else {
        let page: Page = serde_json::from_str(text).ok()?;
        return serde_json::from_value(page.state).ok();
    };
    serde_json::from_str(json).ok()
}

/// A page of one line: the comment stays, and says that there is nothing new.
/// It hands on what it was compared with, so that many small moves add up to one that is told.
pub fn nothing_new(page: &Page, line: String, previous: &State) -> Page {
    Page {
        verdict: line,
        about: page.verdict.clone(),
        made: page.made.clone(),
        state: serde_json::to_value(previous).unwrap_or_default(),
        ..Page::default()
    }
}

/// What changed.
pub fn section(previous: Option<&State>, now: &State, entries: &[Entry], least: MinChange) -> Section {
    let Some(previous) = previous else {
        let about = "This is the first report at its place: the next one is compared with it.";
        return Section::new("Since the last report", about);
    };
    let about = format!("Compared with the report of {}.", previous.at.minute());
    let mut section = Section::new("Since the last report", about);
    if let Some(line) = previous.unchanged(now, least) {
        section.blocks.push(Block::text(line));
        return section;
    }
    let moved = previous.moved(now, least);
    if !moved.is_empty() {
        let change = |before: Option<f64>, after: Option<f64>| {
            let change = before.zip(after).map(|(before, after)| after - before);
            let signed = |c: f64| format!("{}{}", if c > 0.0 { "+" } else { "" }, Unit::Plain.format(c));
            change.map_or_else(|| "new".to_owned(), signed)
        };
        let table = Table::of("Figures that moved", moved)
            .text("figure", |(name, ..)| (*name).clone())
            .amount("then", Unit::Plain, |(_, before, _)| *before)
            .amount("now", Unit::Plain, |(.., after)| *after)
            .cells(Column::number("change"), |(_, before, after)| Cell::text(change(*before, *after)))
            .table();
        section.blocks.push(Block::Table(table));
    }
    let mut lines = Vec::new();
    for (resource, state) in &now.resources {
        match previous.resources.get(resource) {
            None => lines.push(format!("{resource} is {state} now")),
            Some(before) if before != state => lines.push(format!("{resource} was {before}, and is {state}")),
            Some(_) => {}
        }
    }
    let gone = previous.resources.keys().filter(|resource| !now.resources.contains_key(*resource));
    lines.extend(gone.map(|resource| format!("{resource} is {} no more", previous.resources[resource])));
    for (resource, change) in &now.changes {
        if previous.changes.get(resource) != Some(change) {
            lines.push(format!("{resource}: the plan now says {change}"));
        }
    }
    let dropped = previous.changes.keys().filter(|resource| !now.changes.contains_key(*resource));
    lines.extend(dropped.map(|resource| format!("{resource}: the plan leaves it as it is now")));
    let between = entries.iter().filter(|entry| entry.at > previous.at && entry.at <= now.at && entry.action != "plan");
    lines.extend(
        between
            .map(|entry| format!("{} of {} at {}: {}", entry.action, entry.plan_id, entry.at.minute(), entry.result)),
    );
    if lines.len() > 40 {
        let more = lines.len() - 40;
        lines.truncate(40);
        lines.push(format!("and {more} more"));
    }
    if !lines.is_empty() {
        section.blocks.push(Block::List { items: lines });
    }
    section.tone = Tone::Plain;
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(figure: f64) -> State {
        State { figures: [("p95".to_owned(), figure)].into(), ..State::default() }
    }

    #[test]
    fn small_moves_are_none() {
        let least = parse_min_change("5%").unwrap();
        assert!(told(100.0).unchanged(&told(104.0), least).is_some());
        assert!(told(100.0).unchanged(&told(94.0), least).is_none());
        assert!(told(0.0).unchanged(&told(0.0), least).is_some());
        assert!(parse_min_change("500%").is_err());
    }

    #[test]
    fn a_report_holds_what_the_next_one_reads() {
        let page = Page { state: serde_json::to_value(told(7.0)).unwrap(), ..Page::default() };
        for text in [page::html(&page).unwrap(), page::markdown(&page, page::Cut::default())] {
            assert_eq!(state(&text).unwrap().figures["p95"], 7.0);
        }
        assert!(state("# Some other file").is_none());
    }
}
