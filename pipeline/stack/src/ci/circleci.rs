//! Configurations of CircleCI (circleci.com/docs, configuration reference): the `resource_class` of each job. There is no limit
//! for how long a job may take.

use super::Found;
use crate::yaml::stream::{Read, Step};
use crate::yaml::value::Value;
use domain::task::JobLimits;

/// The jobs of a configuration. Workflows only say when they run.
pub(super) fn jobs(read: &Read) -> Vec<Found> {
    let Some(Value::Map(jobs)) = read.value.get("jobs") else { return Vec::new() };
    let job = |(id, job): (&String, &Value)| {
        let Value::Map(_) = job else { return None };
        let (runner, unclear) = match job.get("resource_class") {
            None => (None, Some("it has no `resource_class` of its own")),
            Some(class) => match class.scalar() {
                Some(text) if !text.contains("<<") => (Some(text.to_owned()), None),
                Some(_) => (None, Some("its `resource_class` is a parameter")),
                None => (None, Some("its `resource_class` is no name")),
            },
        };
        Some(Found {
            name: id.clone(),
            workflow: None,
            at: vec![Step::Key("jobs".to_owned()), Step::Key(id.clone())],
            limits: JobLimits { runner, timeout_minutes: None },
            unclear: unclear.map(str::to_owned),
        })
    };
    jobs.iter().filter_map(job).collect()
}
