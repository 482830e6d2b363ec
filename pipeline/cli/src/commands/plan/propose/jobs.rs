//! Runner classes and timeouts of CI jobs, from the p99 of what their runs took and used.

use super::{Found, Ground};
use crate::failure::Failure;
use domain::plan::{Action, Evidence, Handling, Note, Proposed, State, literal};
use domain::rules::Runner;
use domain::task::{JobLimits, Task};
use domain::units::{GIB, format_bytes};
use serde_json::Value;
use stack::{Change, CiJob};

/// A p99 of fewer runs is no more than their longest.
const RUNS: i64 = 30;
/// Room above the p99 of the duration, and of what was used.
const ROOM: f64 = 1.5;
const ROOM_USED: f64 = 1.25;
/// Timeouts are written in steps of so many minutes, and no shorter than that.
const STEP: f64 = 5.0;
/// A timeout that would move by less stays, and a job without one may take what its system allows (six hours).
const WORTHWHILE: f64 = 0.25;

pub(super) async fn found(ground: &Ground<'_>) -> Result<Found, Failure> {
    let mut found = Found::default();
    if !ground.session.versions.contains_key("marts.runs") {
        return Ok(found);
    }
    for on in ground.targets {
        let Some(target) = &on.target else { continue };
        let jobs = tokio::task::block_in_place(|| target.jobs())?;
        for job in &jobs {
            let Some(row) = runs(ground, job, &mut found.notes).await? else { continue };
            let wanted = wanted(job, &row, &ground.rules.runner, &on.planned.kind);
            if wanted == JobLimits::default() {
                continue;
            }
            let mut proposed = item(job, &on.planned.id, &row, wanted);
            let (resource, on, task) = (proposed.resource.clone(), proposed.on.clone(), proposed.task.clone());
            let change = Change { resource, on, task, ..Change::default() };
            proposed.refused = tokio::task::block_in_place(|| target.job_refused(&change))?;
            found.proposals.push(proposed);
        }
    }
    Ok(found)
}

/// Which runs are of a job. A matrix names its jobs `NAME (…)`, GitLab's parallel ones `NAME 1/4`.
fn of_job(job: &CiJob) -> String {
    let name = literal(&job.name);
    let workflow = job.workflow.as_ref().map_or_else(String::new, |it| format!(" and workflow = {}", literal(it)));
    let repo = job.repo.as_ref().map_or_else(String::new, |it| format!(" and repo = {}", literal(it)));
    format!(
        "type = 'ci_run' and (job = {name} or starts_with(job, {name} || ' (') or starts_with(job, {name} || ' ')) \
         and not has_jobs and started_at <= (select now from session.clock) \
         and started_at > (select now from session.clock) - interval '90 days'{workflow}{repo}"
    )
}

/// What the runs of a job took and used; none of too few, or where several repositories have it.
async fn runs(ground: &Ground<'_>, job: &CiJob, notes: &mut Vec<Note>) -> Result<Option<Value>, Failure> {
    let sql = format!(
        "select count(*) as runs, count(distinct repo) as repos, min(repo) as repo, \
         approx_percentile_cont(duration_ms, 0.99) as p99_ms, max(duration_ms) as longest_ms, \
         sum(case when result = 'timeout' then 1 else 0 end) as timed_out, \
         approx_percentile_cont(memory_peak_bytes, 0.99) as memory, \
         approx_percentile_cont(case when duration_ms > 0 then cpu_ms / cast(duration_ms as double) end, 0.99) as cores \
         from marts.runs where {} and coalesce(result, 'success') not in ('cancellation', 'skip')",
        of_job(job)
    );
    let Some(row) = ground.session.query(&sql).await?.to_json()?.into_iter().next() else { return Ok(None) };
    if row["repos"].as_i64() > Some(1) {
        let what =
            "several repositories of the lake have a job of this name; plan in a checkout, whose origin tells which";
        notes.push(Note { resource: Some(job.resource.clone()), what: what.to_owned() });
        return Ok(None);
    }
    Ok((row["runs"].as_i64() >= Some(RUNS)).then_some(row))
}

/// What the job should be given where that is not what it has.
fn wanted(job: &CiJob, row: &Value, runners: &[Runner], kind: &str) -> JobLimits {
    let mut wanted = JobLimits::default();
    if let Some(p99) = row["p99_ms"].as_f64().filter(|_| job.has_timeout) {
        let mut minutes = ((p99 / 60_000.0 * ROOM) / STEP).ceil().max(1.0) * STEP;
        // What was cut off took longer than it shows.
        if row["timed_out"].as_i64() > Some(0) {
            let cut = job
                .limits
                .timeout_minutes
                .map_or(0.0, f64::from)
                .max(row["longest_ms"].as_f64().unwrap_or_default() / 60_000.0);
            minutes = minutes.max(((cut * ROOM) / STEP).ceil() * STEP);
        }
        let moves = |old: f64| ((minutes - old) / old.max(1.0)).abs() >= WORTHWHILE;
        if job.limits.timeout_minutes.is_none_or(|old| moves(f64::from(old))) {
            wanted.timeout_minutes = Some(minutes as u32);
        }
    }
    let demand = State {
        cpu_cores: row["cores"].as_f64().map(|cores| cores * ROOM_USED),
        memory_bytes: row["memory"].as_f64().map(|bytes| (bytes * ROOM_USED) as u64),
    };
    // A demand of which half is not known is none that a machine could be chosen by.
    if demand.cpu_cores.is_some() && demand.memory_bytes.is_some() {
        let classes = || runners.iter().filter(|runner| runner.is_of(kind));
        let now = job.limits.runner.as_ref().and_then(|name| classes().find(|runner| runner.name == *name));
        let best = classes()
            .filter(|runner| runner.has_room(demand))
            .min_by(|a, b| a.weight().total_cmp(&b.weight()).then_with(|| a.name.cmp(&b.name)));
        if let (Some(now), Some(best)) = (now, best)
            && (best.weight() < now.weight() || !now.has_room(demand))
            && best.name != now.name
        {
            wanted.runner = Some(best.name.clone());
        }
    }
    wanted
}

fn item(job: &CiJob, on: &str, row: &Value, after: JobLimits) -> Proposed {
    let minutes = |name: &str| row[name].as_f64().unwrap_or_default() / 60_000.0;
    let used = match (row["cores"].as_f64(), row["memory"].as_f64()) {
        (Some(cores), Some(memory)) => {
            let size =
                if memory >= GIB as f64 { format!("{:.1} GiB", memory / GIB as f64) } else { format_bytes(memory) };
            format!(", on {cores:.2} cores and {size}")
        }
        _ => String::new(),
    };
    let timed_out = match row["timed_out"].as_i64() {
        Some(n) if n > 0 => format!("; {n} were cut off by their timeout"),
        _ => String::new(),
    };
    let reason = format!("99 in 100 of {} runs end within {:.1} min{used}{timed_out}", row["runs"], minutes("p99_ms"));
    let sql = format!(
        "select started_at, duration_ms, cpu_ms, memory_peak_bytes, runner, result from marts.runs where {} order by started_at",
        of_job(job)
    );
    let value =
        format!("p99 {:.1} min, longest {:.1} min of {} runs", minutes("p99_ms"), minutes("longest_ms"), row["runs"]);
    let before = job.limits.clone();
    let task = Task::Job { before, after };
    Proposed {
        resource: job.resource.clone(),
        on: on.to_owned(),
        live: State::default(),
        action: Action::Resize,
        refused: None,
        reason,
        evidence: vec![Evidence::rows("runs of the job", value, "marts.runs", sql)],
        confidence: None,
        handling: Handling::task(&job.resource, &task),
        task: Some(task),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(runner: &str, timeout_minutes: Option<u32>) -> CiJob {
        let limits = JobLimits { runner: Some(runner.into()), timeout_minutes };
        let (resource, name) = ("ci.yml/build".into(), "build".into());
        CiJob { resource, repo: None, workflow: None, name, limits, has_timeout: true }
    }

    fn class(name: &str, cores: f64, gib: u64) -> Runner {
        let size = State { cpu_cores: Some(cores), memory_bytes: Some(gib * GIB) };
        Runner { name: name.into(), on: None, size, price_minute: None }
    }

    #[test]
    fn a_job_gets_the_smallest_class_with_room_and_half_as_much_time_again() {
        let classes = [class("small", 2.0, 7), class("medium", 4.0, 16), class("large", 8.0, 32)];
        let row = json!({"runs": 90, "p99_ms": 600_000.0, "longest_ms": 700_000.0, "timed_out": 0, "cores": 2.1, "memory": 6e9});
        let said = wanted(&job("large", Some(360)), &row, &classes, "actions");
        assert_eq!(said, JobLimits { runner: Some("medium".into()), timeout_minutes: Some(15) });
        let said = wanted(&job("medium", Some(15)), &row, &classes, "actions");
        assert_eq!(said, JobLimits::default(), "it has what it should have");
        assert_eq!(wanted(&job("small", Some(15)), &row, &classes, "actions").runner.as_deref(), Some("medium"));
        assert_eq!(wanted(&job("unheard of", Some(15)), &row, &classes, "actions").runner, None);
        let without = CiJob { has_timeout: false, ..job("large", None) };
        let class = JobLimits { runner: Some("medium".into()), timeout_minutes: None };
        assert_eq!(wanted(&without, &row, &classes, "circleci"), class);
        let cut = json!({"runs": 90, "p99_ms": 600_000.0, "longest_ms": 600_000.0, "timed_out": 3, "cores": null, "memory": null});
        assert_eq!(wanted(&job("small", Some(10)), &cut, &classes, "actions").timeout_minutes, Some(15));
    }
}
