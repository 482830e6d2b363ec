//! `plan`: predictions, live limits and overrides become a plan that a person can read.

pub mod basis;
mod foreseen;
pub mod live;
mod markdown;
mod objections;
pub mod past;
mod propose;
mod show;

use crate::commands::backtest::{frontier_json, parse_policy, parse_share, show_frontier};
use crate::commands::report::file_page;
use crate::context::{Answer, Context, emit_bytes, emit_json};
use crate::failure::{Exit, Failure};
use crate::ledger::{Act, Ledger, enter};
use crate::overrides_file::read_overrides;
use crate::plan_file::{may_replace, read_plan, write_plan};
use crate::rules_file::read_rules;
use crate::scratch::scratch;
use crate::values::span;
use clap::{Args, Subcommand, ValueEnum};
use domain::plan::{Basis, Candidate, Item, ModelRef, Plan, PlanInputs, Rates, Refused, State, Tolerance, plan};
use domain::time::{DAY, HOUR, parse_span};
use domain::units;
use domain::zone::Zone;
use learn::LearnError;
use learn::backtest::Asked;
use learn::sizing::{DEFAULT_RISK, Policy};
use learn::usage::Usage;
use objections::{cautions, refuse};
use serde_json::Value;
use show::show;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The arguments of `plan`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  pipeline plan -o plan.json --target compose.yaml --override overrides.toml
  pipeline plan --target docker --target compose:compose.yaml --risk 1%
  pipeline plan show plan.json --format markdown")]
pub struct PlanArgs {
    #[command(subcommand)]
    shown: Option<Shown>,
    /// The plan file to write
    #[arg(short, long, default_value = "plan.json", value_name = "FILE")]
    output: PathBuf,
    /// A target: compose:FILE[,FILE…], a .yaml file, docker (the local Engine), docker:HOST, kubernetes:FOLDER,
    /// devcontainer:FILE, actions:FOLDER, gitlab:FILE, circleci:FILE or exec:COMMAND; repeatable. Targets are changed
    /// in the given order [default: the limits last observed]
    #[arg(long, value_name = "TARGET")]
    target: Vec<String>,
    /// Pins, floors, ceilings and freezes, in TOML
    #[arg(long = "override", value_name = "FILE")]
    override_: Option<PathBuf>,
    /// Machine sizes in TOML: no limit is raised above the size of its machine. With prices, savings are computed after
    /// bin packing
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// Rules in TOML: which prediction triggers which action, and which services runs need [default: the rules that
    /// `schema rules` prints]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Capacity that all resources of the plan share, such as cpu=16,memory=64GiB: sets weights, and prints the benefit
    /// of one more core
    #[arg(long, value_name = "LIST", value_parser = propose::parse_budget)]
    budget: Option<State>,
    /// Accepted share of CPU samples above the limit, over all resources, such as 1%. At 0, CPU limits stay above the
    /// observed peaks
    #[arg(long, default_value = "0", value_name = "SHARE", value_parser = parse_share)]
    risk: f64,
    /// Plan lower limits for the quiet hours of the week, if a replay of the resource's own days shows that they are
    /// worthwhile. Only for targets whose limits change without a restart (docker, exec). Call `apply` again to switch
    #[arg(long)]
    calendar: bool,
    /// Time zone of the --calendar hours, by its IANA name, such as Europe/Berlin; the hours follow its summer time
    #[arg(long, default_value = "UTC", value_name = "ZONE", requires = "calendar")]
    time_zone: Zone,
    /// Also print the trade-off: cost and throttling at each --risk
    #[arg(long)]
    frontier: bool,
    /// The sizing policy
    #[arg(long, default_value = "ours", value_parser = parse_policy)]
    policy: Policy,
    /// Backtest the policies on the days since this time
    #[arg(long, default_value = "30d", value_name = "SPAN")]
    since: String,
    /// Time after its creation during which the plan may be applied
    #[arg(long, default_value = "7d", value_name = "SPAN")]
    #[arg(value_parser = span(1..=92 * DAY, "write it as 7d, of at most 92 days"))]
    valid_for: i64,
    /// Drift of the plan's inputs beyond which `apply` refuses the plan: age of new samples, change of a forecast (as a
    /// share of the planned limit), number of replaced models
    #[arg(long, default_value = "data=3d,forecast=20%,models=0", value_name = "LIST", value_parser = parse_tolerance)]
    tolerance: Tolerance,
    /// Exit with 3 if the plan has changes
    #[arg(long)]
    detailed_exitcode: bool,
}

/// The actions on an existing plan.
#[derive(Debug, Subcommand)]
enum Shown {
    /// Show a plan file to its reviewers
    #[command(after_help = "\
Examples:
  pipeline plan show plan.json
  pipeline plan show plan.json --format html > plan.html")]
    Show {
        /// The plan file
        plan: PathBuf,
        /// Output format
        #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
        format: Format,
    },
}

/// The output format of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The text that `plan` prints
    Text,
    /// Markdown for the description of a pull request
    Markdown,
    /// One self-contained page
    Html,
    /// The plan file itself
    Json,
}

/// `data=3d,forecast=20%,models=0`; what is left out stays as it is without it.
fn parse_tolerance(text: &str) -> Result<Tolerance, String> {
    let mut tolerance = Tolerance::default();
    for part in text.split(',') {
        let known = part.split_once('=').and_then(|(name, value)| {
            match name.trim() {
                "data" => {
                    tolerance.data_hours = parse_span(value.trim()).filter(|span| *span >= 0)? as f64 / HOUR as f64;
                }
                "forecast" => tolerance.forecast_share = units::parse_share(value).filter(|share| *share >= 0.0)?,
                "models" => tolerance.models = value.trim().parse().ok()?,
                _ => return None,
            }
            Some(())
        });
        known.ok_or_else(|| format!("cannot read {part:?}: write data=3d,forecast=20%,models=0"))?;
    }
    Ok(tolerance)
}

impl PlanArgs {
    /// Whether it shows a plan that was made.
    pub fn shows(&self) -> bool {
        self.shown.is_some()
    }

    /// Whether a target of it is a command, which is run to be read.
    pub fn runs_a_command(&self) -> bool {
        self.target.iter().any(|spec| spec.starts_with("exec:"))
    }
}

/// Makes, writes and shows a plan.
pub async fn run(context: &Context, args: PlanArgs) -> Result<Answer, Failure> {
    if let Some(Shown::Show { plan, format }) = &args.shown {
        return show_file(context, plan, *format);
    }
    let since = context.since(Some(&args.since))?;
    let overrides = read_overrides(args.override_.as_deref())?;
    let nodes = past::read_nodes(args.nodes.as_deref())?;
    let rules = read_rules(args.rules.as_deref())?;
    args.target.iter().try_for_each(|spec| stack::parse_target(spec).map(drop))?;
    may_replace(&args.output)?;
    let (lake, privacy) = context.lake_with_key().await?;
    let before = Ledger::proven(&lake, &privacy).await?;
    let session = lake.session(context.now).await?;
    let folder = scratch()?;
    let path = folder.path().join("usage.parquet");
    let mut task = context.progress.task("plan");
    task.at("usage");
    // Jobs of a CI system are sized from their runs.
    let is_of_jobs = |spec: &String| spec.split_once(':').is_some_and(|(kind, _)| basis::is_of_jobs(kind));
    let only_jobs = !args.target.is_empty() && args.target.iter().all(is_of_jobs);
    if session.export("usage", &path).await? == 0 && !only_jobs {
        return Err(Failure::new(Exit::Inconclusive, "there is no usage to plan from")
            .hint("ingest `usage` events, then `pipeline materialize`"));
    }
    let usage = Usage::load(&path, context.now)?;
    let targets = live::read(&args.target, &usage)?;
    let names: BTreeSet<String> = targets.iter().flat_map(|target| target.live.resources.keys()).cloned().collect();
    if names.is_empty() && !only_jobs {
        return Err(Failure::new(Exit::Inconclusive, "the target has no services to plan for"));
    }
    task.at("backtest");
    let mut policies = vec![args.policy];
    policies.extend([Policy::Ours, Policy::Vpa, Policy::Krr, Policy::Static].iter().filter(|p| **p != args.policy));
    // Of the target's own resources: what another project does is no reason to hold this one back.
    let risk = if args.risk > 0.0 { args.risk } else { DEFAULT_RISK };
    let asked = Asked { since, risk, wanted: &|name| names.contains(name) };
    let backtest = enough(usage.backtest(&policies, asked))?.unwrap_or_default(); // the plan's checks say so
    let frontier = match args.frontier {
        true => enough(usage.frontier(&policies, asked))?,
        false => None,
    };
    task.at("recommendations");
    let recommendations: BTreeMap<_, _> =
        usage.recommend(args.policy, risk, asked.wanted).into_iter().map(|r| (r.resource.clone(), r)).collect();
    let expected = foreseen::expected(&session).await?;
    let coming = foreseen::coming(&session).await?;
    let (contention, contention_model) = foreseen::contention(context, &lake, &session, folder.path()).await?;
    let basis = Basis {
        tolerance: args.tolerance,
        models: contention_model.into_iter().collect(),
        forecasts: basis::forecasts(&session, Some(&names)).await?,
    };
    let newest = if only_jobs { basis::newest_run(&session).await? } else { usage.newest() };
    let watermark = newest.unwrap_or(context.now);
    let resized = past::resized(&session).await?;
    let following = past::following(&session).await?;
    let machines = past::machines(&session, &names, &nodes, &usage).await?;
    let mut candidates = Vec::new();
    for on in &targets {
        let mut own = past::own(on.target.as_deref())?;
        candidates.extend(on.live.resources.iter().map(|(name, limits)| Candidate {
            resource: name.clone(),
            on: on.planned.id.clone(),
            live: *limits,
            requests: on.live.requests.get(name).copied(),
            replicas: on.live.replicas.get(name).copied(),
            recommendation: recommendations.get(name).cloned(),
            expected: expected.get(name).cloned(),
            coming: coming.get(name).cloned(),
            contention: contention.get(name).copied(),
            replay_before: usage.replay(name, *limits),
            backtest: backtest.by_resource.get(name).cloned().unwrap_or_default(),
            own: own.remove(name).unwrap_or_default(),
            machine: machines.get(name).copied().unwrap_or_default(),
            resized: resized.get(name).copied(),
            follows: following.get(name).filter(|_| on.target.is_some()).cloned(),
            refused: Refused::default(),
            culprit: None,
            calendar: None,
        }));
    }
    let leaking = |it: &&Candidate| it.recommendation.as_ref().is_some_and(|seen| seen.leak.is_some());
    let leaking: Vec<&str> = candidates.iter().filter(leaking).map(|it| it.resource.as_str()).collect();
    let mut culprits = propose::culprits(&session, &leaking).await?;
    candidates.iter_mut().for_each(|it| it.culprit = culprits.remove(&it.resource));
    let mut tasks = Vec::new();
    for on in &targets {
        tasks.extend(live::tasks(on, &overrides.task)?);
    }
    task.at("proposals");
    let found = propose::all(&propose::Ground {
        context,
        lake: &lake,
        session: &session,
        rules: &rules,
        targets: &targets,
        candidates: &candidates,
        budget: args.budget.unwrap_or_default(),
        core_month: nodes.core_month().unwrap_or(Rates::default().core_month),
    })
    .await?;
    let mut inputs = PlanInputs {
        candidates,
        tasks,
        proposals: found.proposals,
        rules,
        overrides,
        backtest: backtest.policies,
        unclaimed: past::unclaimed(&names, &usage),
        risk: args.risk,
        policy: args.policy.name().to_owned(),
        data_watermark: watermark,
        model: ModelRef {
            name: format!("{} + shadow inventory", args.policy.name()),
            version: match session.versions.get("predictions.shadow_inventory") {
                Some(version) if !expected.is_empty() => version.to_string(),
                _ => "no forecast of the last day".into(),
            },
        },
        basis: Some(basis),
        targets: targets.iter().map(|target| target.planned.clone()).collect(),
        valid_for: args.valid_for,
        notes: targets.iter().flat_map(|target| target.live.notes.clone()).chain(found.notes).collect(),
        salt: before.head().to_owned(),
        ..PlanInputs::default()
    };
    let replay = |resource: &str, limits: State| usage.replay(resource, limits);
    let mut made = plan(&inputs, &replay, context.now);
    if !args.target.is_empty() {
        targets.iter().try_for_each(|target| refuse(target, &made, &mut inputs))?;
        made = plan(&inputs, &replay, context.now);
        if args.calendar {
            task.at("calendars");
            follow(&usage, &made, &mut inputs.candidates, args.time_zone);
            made = plan(&inputs, &replay, context.now);
        }
        for on in &targets {
            inputs.notes.extend(cautions(on, &made)?);
        }
        made = plan(&inputs, &replay, context.now);
    }
    inputs.notes.extend(domain::packing::notes(&made, &nodes));
    made = plan(&inputs, &replay, context.now);
    drop(task);
    let writing = lake.writing("plan").await?;
    let mut entered = false;
    if let Some(salt) = before.broken_off(context, &lake, &writing).await? {
        let head = std::mem::replace(&mut inputs.salt, salt);
        let again = plan(&inputs, &replay, context.now);
        entered = before.made(&again).is_ok();
        if entered {
            made = again;
            // The entry is there; its head may not be.
            let act = Act { plan: &made, action: "plan", items: &ids(&made), result: "made" };
            enter(context, &lake, &privacy, act).await?;
        } else {
            inputs.salt = head;
        }
    }
    // Of two jobs that made the same plan at once, the other's was entered first: this one is another.
    while !entered {
        let act = Act { plan: &made, action: "plan", items: &ids(&made), result: "made" };
        entered = enter(context, &lake, &privacy, act).await?;
        if !entered {
            inputs.salt = Ledger::proven(&lake, &privacy).await?.head().to_owned();
            made = plan(&inputs, &replay, context.now);
        }
    }
    let (plan, changed) = (&made, ids(&made));
    lake.write_document(&format!("plans/{}/plan.json", plan.plan_id), plan).await?;
    // The items last: without them the plan counts as broken off, and the same command writes the same plan.
    write_plan(&args.output, plan)?;
    lake.write_plan_items(plan).await?;
    show(context, plan, &args.output);
    let mut json: Value = serde_json::to_value(plan).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    if let Some(frontier) = &frontier {
        context.say("");
        context.say("What each accepted share of throttled CPU samples would have cost:");
        show_frontier(context, frontier);
        json["frontier"] = frontier_json(frontier)["frontier"].take();
    }
    let exit = if args.detailed_exitcode && !changed.is_empty() { Exit::Findings } else { Exit::Done };
    let brief = format!("{} of {} resources change", changed.len(), plan.resources());
    Ok(Answer::new(exit, json).brief(brief))
}

/// What was replayed; none where there is too little to replay.
fn enough<T>(replayed: Result<T, LearnError>) -> Result<Option<T>, Failure> {
    match replayed {
        Ok(replayed) => Ok(Some(replayed)),
        Err(LearnError::TooLittleData(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A plan as it is in its file; an edited one is refused.
fn show_file(context: &Context, path: &Path, format: Format) -> Result<Answer, Failure> {
    let plan = read_plan(path)?;
    let json = serde_json::to_value(&plan).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    match format {
        Format::Text => show(context, &plan, path),
        Format::Markdown => markdown::lines(&plan, path).iter().for_each(|line| context.say(line)),
        Format::Html => emit_bytes(page::html(&file_page(context, &plan, path))?.as_bytes()),
        Format::Json if !context.global.json => emit_json(&json, true),
        Format::Json => {}
    }
    Ok(Answer::done(json))
}

/// A calendar for each resource, under the limits that are planned for it.
fn follow(usage: &Usage, plan: &Plan, candidates: &mut [Candidate], time_zone: Zone) {
    for candidate in candidates {
        let of_it =
            |item: &&Item| item.resource == candidate.resource && item.on == candidate.on && item.task.is_none();
        let planned = plan.items.iter().find(of_it).map(|item| item.after);
        candidate.calendar = planned.and_then(|limits| usage.calendar(&candidate.resource, limits, time_zone));
    }
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.changes().map(|item| item.id.clone()).collect()
}
