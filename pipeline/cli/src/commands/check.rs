//! `check`: is the data what it must be?

use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use serde_json::json;

/// Runs every check; findings give exit code 3.
pub async fn run(context: &Context) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    let task = context.progress.task("check");
    let (checks, findings) = lake.check(context.now).await?;
    drop(task);
    for check in &checks {
        let mine: Vec<_> = findings.iter().filter(|f| f.check == *check).collect();
        context.say(format!("{} {check}", if mine.is_empty() { "ok     " } else { "FINDING" }));
        for finding in mine.iter().take(10) {
            context.say(format!("          {}: {}", finding.subject, finding.finding));
        }
        if mine.len() > 10 {
            context.say(format!("          … and {} more", mine.len() - 10));
        }
    }
    let exit = if findings.is_empty() { Exit::Done } else { Exit::Findings };
    let brief = match findings.len() {
        0 => format!("{} checks passed", checks.len()),
        n => {
            let first = findings.iter().take(3).map(|f| format!("{}: {}", f.subject, f.finding));
            format!("{n} findings of {} checks: {}", checks.len(), first.collect::<Vec<_>>().join("; "))
        }
    };
    Ok(Answer::new(exit, json!({"checks": checks, "findings": findings})).brief(brief))
}
