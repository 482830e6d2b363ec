//! Services, images and packages that coming runs will likely need, and services that nobody needs any more.
//!
//! Rests on what `predict` said last, at most a day ago, and on the calls that were recorded.

use super::{Found, Ground, anywhere, proposed, service_of};
use crate::artifacts::newest_card;
use crate::failure::Failure;
use domain::Timestamp;
use domain::overrides::matches;
use domain::plan::{Action, Evidence, Handling, Level, Proposed, State, literal};
use domain::rules::When;
use domain::task::TaskRule;
use domain::time::DAY;
use domain::units::counted;
use serde_json::Value;
use std::collections::BTreeMap;

/// So many runs must have gone by without a call: of fewer it is not known.
const RUNS_WITHOUT: i64 = 20;

/// What coming runs need of one thing.
#[derive(Default)]
struct Need {
    runs: usize,
    /// Pull requests, else repositories; some of them.
    by: Vec<String>,
    first: Option<Timestamp>,
    env: Option<String>,
}

pub(super) async fn found(ground: &Ground<'_>) -> Result<Found, Failure> {
    let mut found = Found::default();
    let coming = coming(ground).await?;
    let needs = by_need(&coming);
    let precision = precision(ground).await?;
    let (mut rules, mut of) = (Vec::new(), Vec::new());
    for (name, need) in &needs {
        for rule in task_rules(ground, name, need) {
            rules.push(rule);
            of.push(name.clone());
        }
    }
    for (i, it) in ground.doable(&rules)? {
        let need = &needs[&of[i]];
        let reason = format!("{} of the coming runs will likely need {}: {}", need.runs, of[i], need.by.join(", "));
        let rows =
            Evidence::rows("coming runs that need it", need.runs.to_string(), "predictions.runs", rows_of(&of[i]));
        found.proposals.push(proposed(it, reason, vec![rows], precision));
    }
    found.proposals.extend(packages(ground, &coming, precision).await?);
    found.proposals.extend(unneeded(ground, &needs).await?);
    Ok(found)
}

async fn coming(ground: &Ground<'_>) -> Result<Vec<Value>, Failure> {
    if !ground.session.versions.contains_key("predictions.runs") {
        return Ok(Vec::new());
    }
    Ok(ground.session.ask("plan_needs", &[]).await?.to_json()?)
}

/// How many of the first three things that the model named were needed on held-out time, of as many as could have been.
async fn precision(ground: &Ground<'_>) -> Result<Option<f64>, Failure> {
    let card = newest_card(ground.lake, learn::services::NAME, ground.context.now).await?;
    let share = |card: &domain::model::Card| {
        let best = card.metrics.get("precision3_best").filter(|best| **best > 0.0)?;
        Some((card.metrics.get("precision3")? / best).clamp(0.0, 1.0))
    };
    Ok(card.and_then(|(_, card)| share(&card)))
}

fn things(row: &Value) -> Vec<String> {
    row["likely_needs"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn by_need(coming: &[Value]) -> BTreeMap<String, Need> {
    let mut needs: BTreeMap<String, Need> = BTreeMap::new();
    for row in coming {
        for name in things(row) {
            let need = needs.entry(name).or_default();
            need.runs += 1;
            let by = row["pr_id"].as_str().or(row["repo"].as_str()).unwrap_or("a run");
            if need.by.len() < 3 && !need.by.iter().any(|known| known == by) {
                need.by.push(by.to_owned());
            }
            need.first = need.first.or(row["expected_at"].as_str().and_then(Timestamp::parse));
            let env = row["resource"].as_str().and_then(|resource| resource.split_once('/')).map(|(env, _)| env);
            need.env = need.env.take().or(env.map(str::to_owned));
        }
    }
    needs
}

/// What of it a target may do: start the service, load its image.
fn task_rules(ground: &Ground<'_>, name: &str, need: &Need) -> Vec<TaskRule> {
    let mut rules = Vec::new();
    let named = ground.rules.service.iter().find(|service| matches(&service.need, name));
    let pattern = match named.and_then(|service| service.resource.clone()) {
        Some(resource) => resource,
        // A package is no service.
        None if name.starts_with("pkg:") => String::new(),
        None => anywhere(need.env.as_deref(), name),
    };
    if !pattern.is_empty() && ground.rules.leads(When::NewService, 1.0, Action::Provision, &pattern) {
        rules.push(TaskRule { resource: pattern, running: Some(true), ..TaskRule::default() });
    }
    if let Some((image, archive)) = named.and_then(|it| Some((it.image.clone()?, it.archive.clone()?)))
        && ground.rules.leads(When::ChangedDependency, 1.0, Action::Prefetch, &image)
    {
        let resource = image.clone();
        rules.push(TaskRule { resource, image: Some(image), archive: Some(archive), ..TaskRule::default() });
    }
    rules
}

fn rows_of(need: &str) -> String {
    let like = literal(&format!("%\"{need}\"%"));
    format!(
        "select prediction_id, pr_id, branch, job_key, expected_at, likely_needs from predictions.runs where \
         likely_needs like {like} and predicted_at = (select max(predicted_at) from predictions.runs) \
         order by expected_at"
    )
}

/// What changes of one repository will fetch of one kind of package.
#[derive(Default)]
struct Fetched {
    packages: Vec<String>,
    /// The pull requests that change `path`.
    prs: Vec<String>,
    path: String,
}

/// Packages of pull requests that change what is taken: fetched ahead by a person or a job, for no target holds them.
async fn packages(ground: &Ground<'_>, coming: &[Value], precision: Option<f64>) -> Result<Vec<Proposed>, Failure> {
    let has_packages = |row: &&Value| things(row).iter().any(|thing| thing.starts_with("pkg:"));
    let coming: Vec<&Value> = coming.iter().filter(|row| row["pr_id"].is_string()).filter(has_packages).collect();
    if coming.is_empty() || !ground.session.versions.contains_key("marts.changed_files") {
        return Ok(Vec::new());
    }
    let changed: BTreeMap<String, String> = ground
        .session
        .ask("plan_changed", &[])
        .await?
        .to_json()?
        .into_iter()
        .filter_map(|row| Some((row["pr_id"].as_str()?.to_owned(), row["path"].as_str()?.to_owned())))
        .collect();
    let mut by_repo: BTreeMap<(String, String), Fetched> = BTreeMap::new();
    for row in coming {
        let (Some(repo), Some(pr)) = (row["repo"].as_str(), row["pr_id"].as_str()) else { continue };
        let Some(path) = changed.get(pr) else { continue };
        for thing in things(row) {
            let Some((kind, _)) = thing.strip_prefix("pkg:").and_then(|rest| rest.split_once('/')) else { continue };
            let of = by_repo.entry((repo.to_owned(), kind.to_owned())).or_default();
            of.path.clone_from(path);
            for (list, one) in [(&mut of.packages, thing.clone()), (&mut of.prs, pr.to_owned())] {
                if !list.contains(&one) {
                    list.push(one);
                }
            }
        }
    }
    let item = |((repo, kind), Fetched { packages, prs, path }): ((String, String), Fetched)| {
        if !ground.rules.leads(When::ChangedDependency, 1.0, Action::Prefetch, &repo) {
            return None;
        }
        let sql = format!(
            "select pr_id, ts, path from marts.changed_files where role in ('lockfile', 'manifest') and pr_id in ({}) \
             order by ts",
            prs.iter().map(|pr| literal(pr)).collect::<Vec<_>>().join(", ")
        );
        let mut evidence = vec![Evidence::rows("changed", path.clone(), "marts.changed_files", sql)];
        let named = packages.iter().map(|package| {
            Evidence::rows(
                "package that coming runs will likely need",
                package.clone(),
                "predictions.runs",
                rows_of(package),
            )
        });
        evidence.extend(named.take(20));
        Some(Proposed {
            resource: repo,
            on: ground.first(),
            live: State::default(),
            action: Action::Prefetch,
            task: None,
            refused: None,
            reason: format!(
                "{} changes {path}: its runs will fetch {}",
                prs.join(", "),
                counted(packages.len(), "package")
            ),
            evidence,
            confidence: precision,
            handling: Handling {
                impact: "coming runs find the packages in the cache of their machine".to_owned(),
                risk: Level::Low,
                risk_why: "a cache is filled, and nothing that runs is disturbed".to_owned(),
                steps: vec![format!(
                    "on the machines of its runs, on the branch of {}: {}",
                    prs.join(", "),
                    fetch(&kind)
                )],
                undo: vec!["nothing to undo: what is not used ages out of the cache".to_owned()],
            },
        })
    };
    Ok(by_repo.into_iter().filter_map(item).collect())
}

/// How the packages of an ecosystem are fetched ahead (the types of the package-url specification).
fn fetch(kind: &str) -> &'static str {
    match kind {
        "cargo" => "cargo fetch --locked",
        "npm" => "npm ci --ignore-scripts --prefer-offline",
        "pypi" => "pip download -r requirements.txt -d ~/.cache/wheels",
        "golang" => "go mod download",
        "maven" => "mvn dependency:go-offline",
        "gem" => "bundle cache",
        "composer" => "composer install --no-scripts --download-only",
        _ => "let the package manager fetch what its lock file names",
    }
}

/// Running services that were called once, and neither lately nor by what comes.
async fn unneeded(ground: &Ground<'_>, needs: &BTreeMap<String, Need>) -> Result<Vec<Proposed>, Failure> {
    let Some(least) = ground.rules.least(When::UnneededService, Action::Deprovision) else { return Ok(Vec::new()) };
    if ground.targets.iter().all(|target| target.target.is_none()) {
        return Ok(Vec::new());
    }
    let now = ground.context.now;
    let (mut rules, mut of) = (Vec::new(), Vec::new());
    for row in ground.session.ask("plan_calls", &[]).await?.to_json()? {
        let (Some(service), Some(last)) = (row["service"].as_str(), row["last_at"].as_str().and_then(Timestamp::parse))
        else {
            continue;
        };
        if ((now.0 - last.0) as f64) < least || needs.contains_key(service) {
            continue;
        }
        let named = ground.rules.service.iter().find(|it| matches(&it.need, service));
        let pattern = named.and_then(|it| it.resource.clone()).unwrap_or_else(|| anywhere(None, service));
        let is_there = |name: &String| matches(&pattern, name);
        let resources = ground.candidates.iter().map(|candidate| &candidate.resource).filter(|name| is_there(name));
        for resource in resources.collect::<std::collections::BTreeSet<_>>() {
            let silent = (now.0 - last.0) as f64;
            if ground.rules.leads(When::UnneededService, silent, Action::Deprovision, resource) {
                let rule = TaskRule { resource: resource.clone(), running: Some(false), ..TaskRule::default() };
                rules.push(rule);
                of.push((service.to_owned(), last, row["calls"].as_i64().unwrap_or_default()));
            }
        }
    }
    let mut proposals = Vec::new();
    for (i, it) in ground.doable(&rules)? {
        let (service, last, calls) = &of[i];
        let since = format!("select count(*) as runs from marts.runs where started_at > timestamp '{last}'");
        let runs = ground.session.query(&since).await?.to_json()?;
        let runs = runs.first().and_then(|row| row["runs"].as_i64()).unwrap_or_default();
        if runs < RUNS_WITHOUT {
            continue;
        }
        let days = (now.0 - last.0) / DAY;
        let reason = format!(
            "nothing has called {} for {days} days: {runs} runs since, and no coming run will likely need it",
            service_of(&it.resource)
        );
        let calls_sql = format!(
            "select ts, repo, pr_id, endpoint from staging.events where type = 'api_call' and service = {} order by ts",
            literal(service)
        );
        let evidence = vec![
            Evidence::rows("calls", format!("{calls}, the last {}", last.minute()), "staging.events", calls_sql),
            Evidence::rows("runs since without one", runs.to_string(), "marts.runs", since),
        ];
        proposals.push(proposed(it, reason, evidence, None));
    }
    Ok(proposals)
}
