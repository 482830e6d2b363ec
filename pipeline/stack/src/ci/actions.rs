//! Workflows of GitHub Actions (docs.github.com, workflow syntax): `jobs.ID.runs-on` and `jobs.ID.timeout-minutes`.

use super::Found;
use crate::yaml::stream::{Read, Step};
use crate::yaml::value::Value;
use domain::task::JobLimits;
use std::path::Path;

/// The jobs of a workflow; those that call another workflow have neither runner nor timeout of their own.
pub(super) fn jobs(path: &Path, read: &Read) -> Vec<Found> {
    let Some(Value::Map(jobs)) = read.value.get("jobs") else { return Vec::new() };
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let workflow = read.value.get("name").and_then(Value::scalar).map_or(file, str::to_owned);
    let job = |(id, job): (&String, &Value)| {
        if job.get("uses").is_some() {
            return None;
        }
        let (runner, unclear) = runner(job.get("runs-on"));
        let timeout_minutes = job.get("timeout-minutes").and_then(Value::scalar).and_then(|text| text.parse().ok());
        Some(Found {
            name: job.get("name").and_then(Value::scalar).unwrap_or(id).to_owned(),
            workflow: Some(workflow.clone()),
            at: vec![Step::Key("jobs".to_owned()), Step::Key(id.clone())],
            limits: JobLimits { runner, timeout_minutes },
            unclear,
        })
    };
    jobs.iter().filter_map(job).collect()
}

/// One name, or why there is none.
fn runner(value: Option<&Value>) -> (Option<String>, Option<String>) {
    match value {
        Some(Value::List(_) | Value::Map(_)) => (None, Some("its `runs-on` is a list or a group of labels".to_owned())),
        Some(value) => match value.scalar() {
            Some(text) if text.contains("${{") => (None, Some(format!("its `runs-on: {text}` is an expression"))),
            Some(text) => (Some(text.to_owned()), None),
            None => (None, Some("it has no `runs-on`".to_owned())),
        },
        None => (None, Some("it has no `runs-on`".to_owned())),
    }
}
