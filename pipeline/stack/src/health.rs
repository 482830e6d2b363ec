//! Whether what a step touched is well: what a target knows of it itself, and a command of the user's.

use crate::StackError;
use crate::bounded;
use crate::journal::Step;
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What is looked at after steps.
#[derive(Clone, Debug)]
pub struct Health {
    /// A shell command that ends with 0 where all is well. It is told `PIPELINE_PLAN` and, with spaces between them,
    /// `PIPELINE_RESOURCES`; what it says on standard error is passed on.
    pub command: Option<String>,
    /// How long a step has until it must be well.
    pub timeout: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self { command: None, timeout: Duration::from_secs(60) }
    }
}

impl Health {
    /// Runs the command, if there is one, after these steps.
    pub(crate) fn look(&self, plan_id: &str, steps: &[&Step]) -> Result<(), StackError> {
        let Some(command) = self.command.as_deref().filter(|_| !steps.is_empty()) else { return Ok(()) };
        let names: BTreeSet<&str> = steps.iter().flat_map(|step| step.resource.split(", ")).collect();
        let resource = names.iter().copied().collect::<Vec<_>>().join(" ");
        let unhealthy = |what: String| StackError::Unhealthy { resource: resource.clone(), what };
        let mut child = Command::new("sh")
            .args(["-c", command])
            .env("PIPELINE_PLAN", plan_id)
            .env("PIPELINE_RESOURCES", &resource)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| unhealthy(format!("the health command cannot be run: {error}")))?;
        let status = bounded::wait(&mut child, self.timeout)
            .map_err(|why| unhealthy(format!("the health command did not end well: {why}")))?;
        if status.success() { Ok(()) } else { Err(unhealthy(format!("the health command ended with {status}"))) }
    }
}
