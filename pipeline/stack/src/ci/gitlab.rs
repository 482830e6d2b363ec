//! Pipelines of GitLab (docs.gitlab.com, CI/CD YAML syntax): `tags` with one tag, and `timeout`, of each job.

use super::Found;
use crate::yaml::place::{Splice, Writing, spliced};
use crate::yaml::set::{Fault, set};
use crate::yaml::stream::{Read, Step};
use crate::yaml::value::Value;
use domain::task::JobLimits;

/// Top-level keys that are no jobs.
const GLOBAL: [&str; 13] = [
    "default",
    "include",
    "stages",
    "variables",
    "workflow",
    "image",
    "services",
    "cache",
    "before_script",
    "after_script",
    "spec",
    "types",
    "pages:deploy",
];

/// The jobs of a pipeline; hidden ones (`.name`) are templates.
pub(super) fn jobs(read: &Read) -> Vec<Found> {
    let Value::Map(root) = &read.value else { return Vec::new() };
    let job = |(id, job): (&String, &Value)| {
        let is_job =
            matches!(job, Value::Map(_)) && ["script", "extends", "run"].iter().any(|key| job.get(key).is_some());
        if id.starts_with('.') || GLOBAL.contains(&id.as_str()) || !is_job {
            return None;
        }
        let (runner, unclear) = match job.get("tags") {
            None => (None, Some("it has no `tags` of its own".to_owned())),
            Some(Value::List(tags)) => match tags.as_slice() {
                [one] if one.scalar().is_some_and(|text| !text.contains('$')) => {
                    (one.scalar().map(str::to_owned), None)
                }
                _ => (None, Some("its `tags` are not one plain tag".to_owned())),
            },
            Some(_) => (None, Some("its `tags` are no list".to_owned())),
        };
        let timeout_minutes = job.get("timeout").and_then(Value::scalar).and_then(minutes);
        Some(Found {
            name: id.clone(),
            workflow: None,
            at: vec![Step::Key(id.clone())],
            limits: JobLimits { runner, timeout_minutes },
            unclear,
        })
    };
    root.iter().filter_map(job).collect()
}

/// `3h 30m`, `90 minutes`, `1 hour`, `1 day`; none where it is written otherwise, or is no whole minute.
pub(super) fn minutes(text: &str) -> Option<u32> {
    let spaced = text.replace(|c: char| !c.is_ascii_alphanumeric(), " ");
    let mut words: Vec<String> = Vec::new();
    for c in spaced.chars() {
        match words.last_mut() {
            _ if c == ' ' => words.push(String::new()),
            Some(last) if last.chars().all(|d| d.is_ascii_digit() == c.is_ascii_digit()) => last.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty() && *word != "and").collect();
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return None;
    }
    words.chunks_exact(2).try_fold(0_u32, |sum, pair| {
        let amount: u32 = pair[0].parse().ok()?;
        let unit = match pair[1] {
            "m" | "min" | "mins" | "minute" | "minutes" => 1,
            "h" | "hr" | "hrs" | "hour" | "hours" => 60,
            "d" | "day" | "days" => 1440,
            _ => return None,
        };
        sum.checked_add(amount.checked_mul(unit)?)
    })
}

/// One tag in the place of the one that is there.
pub(super) fn set_tag(read: &Read, at: &[Step], tag: &str) -> Result<Read, Fault> {
    let path: Vec<Step> = at.iter().cloned().chain([Step::Key("tags".to_owned()), Step::At(0)]).collect();
    let fault = || Fault { what: "its `tags` come through an alias or a merge key".to_owned(), hint: "write them out" };
    let node = read.node(&path).ok_or_else(fault)?;
    let old = &read.text[node.start..node.end];
    let quote = old.chars().next().filter(|c| matches!(c, '"' | '\''));
    let new = quote.map_or_else(|| tag.to_owned(), |quote| format!("{quote}{tag}{quote}"));
    let text = spliced(&read.text, std::iter::once(&Splice { from: node.start, to: node.end, new }));
    let new = Read::new(&text).map_err(|_| fault())?;
    let mut wanted = read.value.clone();
    let written = new.value.walk(&path).filter(|value| value.scalar() == Some(tag)).cloned().ok_or_else(fault)?;
    wanted.put(&path, written);
    if wanted == new.value { Ok(new) } else { Err(fault()) }
}

/// A span in minutes.
struct Span(u32);

impl Writing for Span {
    fn over(&self, _: &str) -> String {
        format!("{}m", self.0)
    }

    fn fresh(&self, json: bool) -> String {
        if json { format!("\"{}m\"", self.0) } else { format!("{}m", self.0) }
    }
}

/// How long a job may take.
pub(super) fn set_timeout(read: &Read, at: &[Step], new: u32) -> Result<Read, Fault> {
    let reads = |value: &Value| value.scalar().and_then(minutes) == Some(new);
    set(read, at, &["timeout"], &Span(new), &reads, &|text| Read::new(text).ok())
}
