//! Deployments as GitHub and GitLab tell of them: one `deployment` event each, at its begin.

use super::Object;
use domain::Reason;
use domain::time::{DAY, SECOND, Timestamp};
use serde_json::{Value, json};

/// What one says, in the words of its service.
pub(super) struct Told<'a> {
    /// `owner/name`.
    pub(super) repo: &'a str,
    /// Its identifier there.
    pub(super) id: Option<&'a Value>,
    /// Where to.
    pub(super) environment: Option<&'a str>,
    /// The commit.
    pub(super) sha: Option<&'a Value>,
    /// The branch or tag.
    pub(super) branch: Option<&'a str>,
    /// Who began it.
    pub(super) developer: Option<&'a Value>,
    /// What is done, where that is said.
    pub(super) task: Option<&'a Value>,
    /// What came of it, where that is known.
    pub(super) state: Option<&'a str>,
    /// Its begin.
    pub(super) begun: Option<Timestamp>,
    /// Its end, where that is known.
    pub(super) ended: Option<Timestamp>,
}

/// The event; one that goes on is refused, as its end is not known.
pub(super) fn event(told: &Told) -> Result<Object, Reason> {
    let result = match told.state {
        None | Some("") => None,
        Some("success" | "inactive") => Some("success"),
        Some("failure" | "failed") => Some("failure"),
        Some("error") => Some("error"),
        Some("canceled" | "cancelled") => Some("cancellation"),
        Some("created" | "pending" | "queued" | "in_progress" | "running" | "blocked" | "waiting") => {
            return Err(Reason::Format("the deployment has not finished; fetch it again when it has"));
        }
        Some(_) => None,
    };
    let begun = told.begun.ok_or(Reason::Timestamp)?;
    // What seems to have taken longer was touched again later.
    let lasted = told.ended.map(|ended| ended.0 - begun.0).filter(|lasted| (0..=DAY).contains(lasted));
    let event = json!({
        "ts": begun,
        "type": "deployment",
        "repo": told.repo,
        "branch": told.branch,
        "env": told.environment,
        "developer": told.developer,
        "payload": {
            "deployment_id": told.id,
            "environment": told.environment,
            "sha": told.sha,
            "task": told.task,
            "result": result,
            "duration_ms": lasted.map(|lasted| lasted / (SECOND / 1000)),
        },
    });
    if let Value::Object(event) = event { Ok(event) } else { Err(Reason::NotAnObject) }
}
