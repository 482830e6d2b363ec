//! Advice for builds that take longer than the rules allow, each with the rows that say so: what slows them, and what a
//! person may do. Nothing of it is carried out.

use super::{Found, Ground};
use crate::commands::predict::seconds;
use crate::failure::Failure;
use domain::plan::{Action, Evidence, Handling, Level, Proposed, State, literal};
use domain::rules::When;
use domain::units::format_bytes;
use serde_json::Value;
use std::collections::BTreeMap;

/// Of a job with fewer runs nothing is said.
const RUNS: i64 = 5;
/// Jobs that are looked at, the costliest first.
const JOBS: usize = 20;
/// A cache misses where in this share of the runs packages were fetched.
const MISSES: f64 = 0.5;
/// One test command that takes this share of all time of its repository.
const TEST_SHARE: f64 = 1.0 / 3.0;
/// A lock file that changes on this share of the days with commits, and on so many days.
const LOCK_SHARE: f64 = 0.5;
const LOCK_DAYS: i64 = 8;
/// Some task waited for a disk in this share of the time.
const DISK: f64 = 0.2;
/// Neither computed nor waited for anything of its machine, in this share of the time: it waits for the network.
const IDLE: f64 = 0.7;

/// One piece of advice.
struct Advice {
    what: String,
    evidence: Evidence,
    impact: String,
    steps: Vec<String>,
}

pub(super) async fn found(ground: &Ground<'_>) -> Result<Found, Failure> {
    let mut found = Found::default();
    if ground.rules.least(When::BuildTime, Action::Optimize).is_none() {
        return Ok(found);
    }
    if ground.session.versions.contains_key("marts.runs") {
        found.proposals.extend(jobs(ground).await?);
    }
    if ground.session.versions.contains_key("marts.changed_files") {
        found.proposals.extend(locks(ground).await?);
    }
    found.proposals.extend(heaps(ground));
    found.proposals.extend(host(ground));
    Ok(found)
}

async fn jobs(ground: &Ground<'_>) -> Result<Vec<Proposed>, Failure> {
    let rows = ground.session.ask("plan_jobs", &[]).await?.to_json()?;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let mut of_repo: BTreeMap<String, f64> = BTreeMap::new();
    for row in &rows {
        *of_repo.entry(text(row, "repo")).or_default() += row["total_ms"].as_f64().unwrap_or_default();
    }
    let slow = |row: &&Value| {
        let above = row["p90_ms"].as_f64().unwrap_or_default() * 1000.0;
        let name = if text(row, "repo").is_empty() { text(row, "job_key") } else { text(row, "repo") };
        row["runs"].as_i64() >= Some(RUNS) && ground.rules.leads(When::BuildTime, above, Action::Optimize, &name)
    };
    let slow: Vec<&Value> = rows.iter().filter(slow).take(JOBS).collect();
    if slow.is_empty() {
        return Ok(Vec::new());
    }
    let fetches = ground.session.ask("plan_fetches", &[]).await?.to_json()?;
    let mut proposals = Vec::new();
    for row in slow {
        let job = text(row, "job_key");
        let mut advice = Vec::new();
        advice.extend(fetches.iter().find(|it| it["job_key"] == row["job_key"]).and_then(|it| misses(&job, it)));
        advice.extend(parallel(&job, row));
        advice.extend(waits(&job, row));
        if row["kind"] == "test" {
            let all = of_repo.get(&text(row, "repo")).copied().unwrap_or_default();
            advice.extend(long_test(row, all));
        }
        let took = format!(
            "{} runs, nine in ten within {}",
            row["runs"],
            seconds(row["p90_ms"].as_f64().unwrap_or_default() / 1000.0)
        );
        let runs = Evidence::rows("build time", took, "marts.runs", runs_of(&job));
        proposals.extend(advice.into_iter().map(|it| item(ground, job.clone(), it, Some(runs.clone()))));
    }
    Ok(proposals)
}

fn runs_of(job: &str) -> String {
    format!(
        "select started_at, duration_ms, cpu_ms, cpu_limit_cores, psi_cpu_some, psi_memory_some, psi_io_some, label from \
         marts.runs where job_key = {} order by started_at",
        literal(job)
    )
}

fn item(ground: &Ground<'_>, resource: String, advice: Advice, runs: Option<Evidence>) -> Proposed {
    Proposed {
        resource,
        on: ground.first(),
        live: State::default(),
        action: Action::Optimize,
        task: None,
        refused: None,
        reason: advice.what,
        evidence: std::iter::once(advice.evidence).chain(runs).collect(),
        confidence: None,
        handling: Handling {
            impact: advice.impact,
            risk: Level::Low,
            risk_why: "apply does nothing: a person changes the build".to_owned(),
            steps: advice.steps,
            undo: vec!["revert the commit that changed the build".to_owned()],
        },
    }
}

/// Packages that are fetched again and again.
fn misses(job: &str, row: &Value) -> Option<Advice> {
    let (recorded, fetched) = (row["recorded"].as_i64()?, row["fetched"].as_i64()?);
    if recorded < RUNS || (fetched as f64) < MISSES * recorded as f64 {
        return None;
    }
    let packages = row["packages"].as_i64().unwrap_or_default();
    let sql = format!(
        "select e.ts, json_get_int(e.payload, 'packages_added') as packages_added from staging.events e join marts.runs r on \
         e.event_id = r.event_id where r.job_key = {} and e.payload like '%\"packages_added\"%' order by e.ts",
        literal(job)
    );
    Some(Advice {
        what: format!("its cache misses: {fetched} of {recorded} runs fetched packages anew, {packages} in all"),
        evidence: Evidence::rows(
            "runs that fetched packages",
            format!("{fetched} of {recorded}"),
            "staging.events",
            sql,
        ),
        impact: "runs find their packages where the last one left them".to_owned(),
        steps: vec![
            "keep the package folder between runs, keyed by the hash of the lock file".to_owned(),
            "restore the newest entry where no key fits: most packages are the same".to_owned(),
        ],
    })
}

/// More jobs at once than there are cores.
fn parallel(job: &str, row: &Value) -> Option<Advice> {
    let limit = row["limit_cores"].as_f64().filter(|cores| *cores > 0.0)?;
    let asked = jobs_at_once(row["command"].as_str()?)?;
    if (asked as f64) <= (limit.ceil() + 1.0).max(limit * 1.5) {
        return None;
    }
    let least = limit.ceil().max(1.0);
    Some(Advice {
        what: format!("it runs {asked} jobs at once on {limit} cores: they take each other's time and memory"),
        evidence: Evidence::rows("jobs at once", format!("-j {asked} on {limit} cores"), "marts.runs", runs_of(job)),
        impact: "less memory and fewer switches at the same speed".to_owned(),
        steps: vec![format!("write -j {least}, or let the tool count the cores that its limit allows")],
    })
}

/// `-j8`, `-j 8`, `--jobs=8`, `--parallel 8`, `-n 8` of pytest.
fn jobs_at_once(command: &str) -> Option<u32> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0);
    words.iter().enumerate().find_map(|(i, word)| {
        let next = || words.get(i + 1).and_then(|next| number(next));
        match *word {
            "-j" | "--jobs" | "--parallel" | "--max-parallel" | "--numprocesses" => next(),
            "-n" if words.iter().any(|word| word.ends_with("pytest")) => next(),
            _ => ["--jobs=", "--parallel=", "--numprocesses=", "-j"]
                .iter()
                .find_map(|flag| word.strip_prefix(flag).and_then(number)),
        }
    })
}

/// A slow disk, or a slow network.
fn waits(job: &str, row: &Value) -> Option<Advice> {
    let share = |name: &str| row[name].as_f64();
    if let Some(disk) = share("disk").filter(|disk| *disk >= DISK) {
        let value = format!("{:.0} % of the time some task waited", disk * 100.0);
        return Some(Advice {
            what: format!("its disk is slow: in {:.0} % of the time some task waited for it", disk * 100.0),
            evidence: Evidence::rows("waiting for a disk (PSI)", value, "marts.runs", runs_of(job)),
            impact: "it computes where it waits now".to_owned(),
            steps: vec![
                "build on a local disk or in memory (tmpfs), not on a network or overlay file system".to_owned(),
                "see who else writes: `explain` shows the runs beside it".to_owned(),
            ],
        });
    }
    let (cores, cpu, memory) = (share("cores")?, share("cpu")?, share("memory").unwrap_or_default());
    let disk = share("disk").unwrap_or_default();
    let idle = 1.0 - cores.min(1.0) - disk - memory;
    if idle < IDLE || cpu > 0.1 {
        return None;
    }
    let value = format!("{:.0} % of the time, with {cores:.2} cores used", idle * 100.0);
    Some(Advice {
        what: format!(
            "it waits for the network, or sleeps: in {:.0} % of the time it neither computed nor waited for its machine",
            idle * 100.0
        ),
        evidence: Evidence::rows("idle without a cause on its machine", value, "marts.runs", runs_of(job)),
        impact: "it takes as long as it computes".to_owned(),
        steps: vec![
            "see what it calls: `select service, count(*), avg(duration_ms) from staging.events where type = 'api_call' \
             group by service`"
                .to_owned(),
            "use a mirror or cache near the runners, and fetch at once what is fetched one by one".to_owned(),
        ],
    })
}

/// A test that takes a third of all time.
fn long_test(row: &Value, all_ms: f64) -> Option<Advice> {
    let share = row["total_ms"].as_f64()? / all_ms.max(1.0);
    // Of a repository with one job it says nothing.
    if !(TEST_SHARE..0.99).contains(&share) {
        return None;
    }
    let value = format!("{:.0} %", share * 100.0);
    let sql = format!(
        "select job_key, count(*) as runs, sum(duration_ms) as total_ms from marts.runs where repo = {} and not has_jobs \
         group by job_key order by total_ms desc",
        literal(row["repo"].as_str()?)
    );
    Some(Advice {
        what: format!("this test takes {value} of all time of its repository"),
        evidence: Evidence::rows("share of the time of all runs", value, "marts.runs", sql),
        impact: "the rest of the pipeline need not wait for one test".to_owned(),
        steps: vec![
            "run its slowest cases apart and at once with the others, or only where what they test has changed"
                .to_owned(),
        ],
    })
}

async fn locks(ground: &Ground<'_>) -> Result<Vec<Proposed>, Failure> {
    let rows = ground.session.ask("plan_lockfiles", &[]).await?.to_json()?;
    let advice = |row: &Value| {
        let (repo, path) = (row["repo"].as_str()?, row["path"].as_str()?);
        let (days, of_days) = (row["days"].as_i64()?, row["of_days"].as_i64()?);
        ground.rules.of(When::BuildTime, Action::Optimize, repo)?;
        if days < LOCK_DAYS || (days as f64) < LOCK_SHARE * of_days as f64 {
            return None;
        }
        let sql = format!(
            "select ts, sha, pr_id from marts.changed_files where role = 'lockfile' and repo = {} and path = {} order by ts",
            literal(repo),
            literal(path)
        );
        let value = format!("{days} of {of_days} days with commits");
        let advice = Advice {
            what: format!("{path} changes nearly daily, on {value}: no cache keyed by it lives longer"),
            evidence: Evidence::rows("days on which it changed", value, "marts.changed_files", sql),
            impact: "caches live for a week, and so do the images built on them".to_owned(),
            steps: vec![
                "take new versions once a week in one change (`schedule: weekly` of Renovate or Dependabot)".to_owned(),
                "key caches so that the newest entry is taken where none fits".to_owned(),
            ],
        };
        Some(item(ground, repo.to_owned(), advice, None))
    };
    Ok(rows.iter().filter_map(advice).collect())
}

/// Heaps that ignore the limit of their service.
fn heaps(ground: &Ground<'_>) -> Vec<Proposed> {
    let of = |candidate: &domain::plan::Candidate| {
        ground.rules.of(When::BuildTime, Action::Optimize, &candidate.resource)?;
        let limit = candidate.live.memory_bytes?;
        let (own, needs) =
            candidate.own.iter().find_map(|own| Some((own, own.needs().filter(|needs| *needs > limit)?)))?;
        let value = format!("{} needs {} of {}", own.setting, format_bytes(needs as f64), format_bytes(limit as f64));
        let evidence =
            Evidence { what: "configured memory".into(), value: value.clone(), source: "target".into(), sql: None };
        let advice = Advice {
            what: format!("its heap setting ignores its limit: {value}; it is killed before it is full"),
            evidence,
            impact: "it collects garbage where it is killed now".to_owned(),
            steps: vec![format!(
                "lower {} so that it needs less than {}, or take a share of the limit (-XX:MaxRAMPercentage=75)",
                own.setting,
                format_bytes(limit as f64)
            )],
        };
        let mut item = item(ground, candidate.resource.clone(), advice, None);
        (item.on, item.live) = (candidate.on.clone(), candidate.live);
        Some(item)
    };
    ground.candidates.iter().filter_map(of).collect()
}

/// Where every limit is at the size of its machine, other limits help nobody.
fn host(ground: &Ground<'_>) -> Option<Proposed> {
    ground.rules.of(When::BuildTime, Action::Optimize, "*")?;
    let known: Vec<_> = ground
        .candidates
        .iter()
        .filter(|it| it.machine.told)
        .filter_map(|it| Some((it, it.live.cpu_cores?, it.machine.size.cpu_cores?)))
        .collect();
    let is_starved = |it: &domain::plan::Candidate| {
        it.recommendation.as_ref().is_some_and(|seen| seen.throttled.is_some() || seen.killed.is_some())
    };
    let all = !known.is_empty() && known.len() == ground.candidates.len();
    let at_size = known.iter().all(|(_, limit, size)| *limit >= 0.95 * size);
    if !all || !at_size || !known.iter().any(|(it, ..)| is_starved(it)) {
        return None;
    }
    let (first, _, size) = known[0];
    let names: Vec<String> = known.iter().map(|(it, ..)| literal(&it.resource)).collect();
    let sql = format!(
        "select resource, max(cpu_limit_cores) as cpu_limit_cores, avg(throttled_ratio) as throttled_ratio, \
         sum(oom_kills) as oom_kills from marts.usage where resource in ({}) group by resource",
        names.join(", ")
    );
    let value = format!("{} limits, each at the {size} cores of its machine", known.len());
    let advice = Advice {
        what: format!("every limit is at the size of its machine, {size} cores: only a larger machine gives more"),
        evidence: Evidence::rows("limits beside the machine", value, "marts.usage", sql),
        impact: "what is throttled or killed now has room".to_owned(),
        steps: vec!["compare machines with `plan --nodes` and `what-if`, then move the environment".to_owned()],
    };
    let env = first.resource.split_once('/').map_or(first.resource.as_str(), |(env, _)| env);
    Some(item(ground, env.to_owned(), advice, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn jobs_at_once_are_read_as_tools_write_them() {
        for (command, jobs) in [
            ("make -j16 all", Some(16)),
            ("make -j 8", Some(8)),
            ("ninja --jobs=4", Some(4)),
            ("cmake --build . --parallel 6", Some(6)),
            ("python -m pytest -n 12", Some(12)),
            ("head -n 12", None),
            ("make -j", None),
            ("cargo build", None),
        ] {
            assert_eq!(jobs_at_once(command), jobs, "{command}");
        }
        let row = |command: &str| json!({"command": command, "limit_cores": 4.0});
        assert!(parallel("a", &row("make -j16")).is_some());
        assert!(parallel("a", &row("make -j5")).is_none(), "one more than the cores is usual");
    }

    #[test]
    fn what_is_idle_without_waiting_for_its_machine_waits_for_the_network() {
        let row = |cores: f64, disk: f64| json!({"cores": cores, "disk": disk, "cpu": 0.01, "memory": 0.0});
        assert!(waits("a", &row(0.1, 0.0)).unwrap().what.contains("network"));
        assert!(waits("a", &row(0.1, 0.4)).unwrap().what.contains("disk is slow"));
        assert!(waits("a", &row(0.9, 0.0)).is_none());
    }
}
