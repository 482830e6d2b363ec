//! `stack horizon`: how many canaries that do no harm a rollout would promote, at the declared horizon and beside it, from what
//! the users of the control met. 0 enough of them, 3 too few, 5 too little is recorded to say.

use super::declared::{self, Declared};
use super::route::{map_of, rollout};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::values::{share, span, wait};
use clap::Args;
use domain::Timestamp;
use domain::judge::JudgeError;
use domain::plan::Check;
use domain::rollout::{LEAST_USERS, Metric, Nulls, Recorded, Rollout};
use domain::task::Shares;
use domain::time::{DAY, format_span};
use domain::units::counted;
use lake::Lake;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The arguments of `stack horizon`.
#[derive(Debug, Args)]
#[command(after_help = "\
This simulates an A/A test: recorded users of the control are split at random
into two equal arms and judged by the rules of [judge] at every step of
[route]. A horizon that is too short holds harmless canaries; a longer horizon
needs more users. `stack route` runs a short simulation and adds a note to the
plan if the horizon is too short.

Exit codes: 0 the declared horizon promotes at least the share --target, 3 it
promotes fewer, 5 too few recorded users

Examples:
  pipeline stack horizon
  pipeline stack horizon --cv 60% --errors 0.5%")]
pub struct HorizonArgs {
    /// The version group whose recorded users are used [default: the group with the most users]
    group: Option<String>,
    /// The stack
    #[arg(long, value_name = "FILE", default_value = "stack.toml")]
    stack: PathBuf,
    /// Use the recorded users since this time
    #[arg(long, default_value = "7d", value_name = "SPAN", value_parser = span(1..=3660 * DAY, "write it as 12h or 7d"))]
    since: i64,
    /// Instead of using recorded users, simulate one request per user, with log-normal durations of this coefficient of
    /// variation
    #[arg(long, value_name = "SHARE", value_parser = share(0.0..=100.0, "write it as 60% or 0.6"))]
    cv: Option<f64>,
    /// With --cv, the share of requests that fail
    #[arg(long, value_name = "SHARE", requires = "cv", default_value = "0")]
    #[arg(value_parser = share(0.0..=1.0, "write it as 20% or 0.2"))]
    errors: f64,
    /// Share of harmless canaries that must be promoted
    #[arg(long, value_name = "SHARE", default_value = "95%", value_parser = share(0.0..=1.0, "write it as 20% or 0.2"))]
    target: f64,
    /// Number of simulated steps for each horizon
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    steps: u64,
    /// Time limit of the simulation; after this time, only the declared horizon gets further steps, 24 at least
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = wait(1..=DAY, "write it as 60s or 10m"))]
    timeout: Duration,
    /// Random seed of the simulation
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,
}

/// Recorded users beyond this are left out, the oldest first.
const MOST_USERS: usize = 50_000;

/// Steps that a plan is checked with, and how many of them at a time.
const FEW: u64 = 96;
const AT_ONCE: u64 = 24;

/// Share of harmless canaries that a plan is checked for.
const TARGET: f64 = 0.95;

/// Horizons beside the declared one, as its multiples.
const BESIDE: [f64; 8] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0];

/// Simulates and says.
pub async fn run(context: &Context, args: HorizonArgs) -> Result<Answer, Failure> {
    let declared = declared::read(&args.stack)?;
    let control = control(&declared, args.group.as_deref())?;
    let asked = asked(&declared, &control)?;
    let recorded = match args.cv {
        // As many as no walk meets twice.
        Some(cv) => {
            Recorded::drawn(20 * asked.horizon.clamp(LEAST_USERS, MOST_USERS), cv, args.errors, args.seed.into())
        }
        None => {
            let lake = context.lake().await?;
            users(context, &lake, &control, args.since).await?
        }
    };
    let whose = if args.cv.is_some() { "drawn".to_owned() } else { control };
    if recorded.users() < LEAST_USERS {
        return Err(Failure::new(
            Exit::Inconclusive,
            format!("{whose} has {} in the lake, and {LEAST_USERS} are needed", counted(recorded.users(), "user")),
        )
        .hint(format!(
            "ingest the router's log, look further back than {} with --since, or say what a request is like: --cv 60% \
             --errors 0.5%",
            format_span(args.since)
        )));
    }
    let about = in_words(&whose, &recorded);
    context.say_wrapped("", &about, 4);
    context.say("users of an arm  promoted            rolled back     held  users to a pass");
    let (began, mut left_out, mut cut_short) = (Instant::now(), Vec::new(), false);
    let is_over = || began.elapsed() >= args.timeout;
    let mut rows = Vec::new();
    let mut enough = None;
    let mut is_enough = false;
    for beside in BESIDE {
        let horizon = ((asked.horizon as f64 * beside).round() as usize).max(1);
        // A longer one is not asked for where a shorter one does.
        if horizon > asked.horizon && enough.is_some() {
            break;
        }
        let is_declared = horizon == asked.horizon;
        let rollout = Rollout { horizon, ..asked.clone() };
        let from = u64::from(args.seed) << 32;
        let mut nulls = Nulls::default();
        // The declared horizon has some steps whatever time is left: it is what was asked about.
        let least = AT_ONCE.min(args.steps);
        while (nulls.steps as u64) < args.steps && (!is_over() || is_declared && (nulls.steps as u64) < least) {
            let done = nulls.steps as u64;
            nulls += simulated(&rollout, &recorded, from + done, cores().min(args.steps - done))?;
        }
        cut_short |= (nulls.steps as u64) < args.steps;
        if (nulls.steps as u64) < least {
            left_out.push(horizon);
            continue;
        }
        let ends = nulls.ends(rollout.judged_steps());
        let does = ends.promoted >= args.target;
        if does && enough.is_none() {
            enough = Some(horizon);
        }
        is_enough |= is_declared && does;
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let promoted =
            format!("{} ({:.0} to {:.0})", percent(ends.promoted), ends.bounds.0 * 100.0, ends.bounds.1 * 100.0);
        let users = nulls.mean_users().map_or_else(|| "-".to_owned(), |users| format!("{users:.0}"));
        context.say(format!(
            "{horizon:>10}{:<5}  {promoted:<18}  {:>11}  {:>7}  {users:>15}",
            if is_declared { " now" } else { "" },
            percent(ends.rolled_back),
            percent(ends.held),
        ));
        rows.push(json!({"horizon": horizon, "declared": is_declared, "steps": nulls.steps, "promoted": ends.promoted,
            "lower": ends.bounds.0, "upper": ends.bounds.1, "rolled_back": ends.rolled_back, "held": ends.held,
            "mean_users": nulls.mean_users()}));
    }
    let found = match enough {
        Some(enough) => format!("{enough} users of each arm are enough"),
        None => "none of these is enough: judge fewer metrics, or accept a larger margin".to_owned(),
    };
    let brief = format!(
        "horizon {}: {} {} % of canaries that do no harm; {found}",
        asked.horizon,
        if is_enough { "promotes at least" } else { "promotes less than" },
        (args.target * 1000.0).round() / 10.0
    );
    context.say_wrapped("", &brief, 4);
    if cut_short {
        let limit = format_span(args.timeout.as_micros() as i64);
        let left: Vec<String> = left_out.iter().map(usize::to_string).collect();
        let left = if left.is_empty() { String::new() } else { format!("; not simulated: {}", left.join(", ")) };
        context.say_wrapped("", &format!("the simulation was cut short after {limit} (--timeout){left}"), 4);
    }
    let duration = recorded.duration();
    let json = json!({"control": whose, "users": recorded.users(), "mean_ms": duration.map(|(mean, _)| mean),
        "cv": duration.map(|(_, cv)| cv), "failing": recorded.failing(), "target": args.target, "seed": args.seed,
        "judged_steps": asked.judged_steps(), "horizons": Value::Array(rows), "declared": asked.horizon, "enough": enough,
        "is_enough": is_enough, "cut_short": cut_short, "left_out": left_out});
    Ok(Answer::new(if is_enough { Exit::Done } else { Exit::Findings }, json).brief(brief))
}

/// The group whose users are taken: the one that is named, or that has the most.
fn control(declared: &Declared, named: Option<&str>) -> Result<String, Failure> {
    let groups = || declared.manifest.groups.iter().map(|group| group.name.as_str());
    if let Some(named) = named {
        return match groups().any(|name| name == named) {
            true => Ok(named.to_owned()),
            false => Err(Failure::new(Exit::Usage, format!("{} has no group {named}", declared.path.display()))
                .hint(format!("its groups are {}", groups().collect::<Vec<_>>().join(", ")))),
        };
    }
    let shares = map_of(declared)?.shares()?;
    let most = shares.iter().max_by_key(|(_, share)| **share).map(|(group, _)| group.clone());
    most.ok_or_else(|| {
        Failure::new(Exit::Failed, "no group has users").hint("name one: `pipeline stack horizon GROUP`")
    })
}

/// The rollout that the stack declares, of any canary beside a control.
fn asked(declared: &Declared, control: &str) -> Result<Rollout, Failure> {
    let canary = "\u{1}canary";
    let before = Shares::from([(control.to_owned(), 100), (canary.to_owned(), 0)]);
    rollout(declared, &before, control.to_owned(), canary)
}

/// The users of a group in a span of time until now, as the judge sees them.
async fn users(context: &Context, lake: &Lake, group: &str, since: i64) -> Result<Recorded, Failure> {
    lake.materialize(context.now, &["stack.requests".to_owned()], false, false, &mut |_| {}).await?;
    let session = lake.session(context.now).await?;
    let (from, until) = (Timestamp(context.now.0 - since).to_string(), context.now.to_string());
    let given = [("group", group), ("from", &from), ("until", &until)];
    let latency = session.answer("canary", &given, Metric::Latency.name()).await?.observations;
    let errors = session.answer("canary", &given, Metric::Errors.name()).await?.observations;
    Ok(Recorded::new(&latency, &errors).latest(MOST_USERS))
}

fn in_words(whose: &str, recorded: &Recorded) -> String {
    let (mean, cv) = recorded.duration().unwrap_or_default();
    format!(
        "{whose}: {}; a request takes {mean:.0} ms, with a coefficient of variation of {:.0} %, and {:.2} % fail",
        counted(recorded.users(), "user"),
        cv * 100.0,
        recorded.failing() * 100.0
    )
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, usize::from).min(8) as u64
}

/// So many steps, on all cores; which core does which changes nothing.
fn simulated(rollout: &Rollout, recorded: &Recorded, from: u64, steps: u64) -> Result<Nulls, Failure> {
    let cores = cores();
    let part = steps.div_ceil(cores);
    let parts: Vec<Result<Nulls, JudgeError>> = std::thread::scope(|scope| {
        let parts = (0..cores).map(|core| (from + core * part)..(from + (core * part + part).min(steps)));
        let threads: Vec<_> = parts.map(|seeds| scope.spawn(move || rollout.nulls(recorded, seeds))).collect();
        threads.into_iter().map(|thread| thread.join().expect("judging ends without a panic")).collect()
    });
    let mut nulls = Nulls::default();
    for part in parts {
        nulls +=
            part.map_err(|error| Failure::new(Exit::Failed, format!("cannot judge a simulated canary: {error}")))?;
    }
    Ok(nulls)
}

/// What a plan says of its horizon: a note where it is too short beyond chance, or where too few users are recorded to know.
pub async fn check(context: &Context, lake: &Lake, rollout: &Rollout) -> Result<Check, Failure> {
    let recorded = users(context, lake, &rollout.control, 7 * DAY).await?;
    let note = |passed: bool, detail: String| Check { name: "horizon".to_owned(), passed, blocking: false, detail };
    if recorded.users() < LEAST_USERS {
        let detail = format!(
            "how many canaries that do no harm {} users of each promote is unknown: {} has {} in the lake; see `pipeline \
             stack horizon --cv`",
            rollout.horizon,
            rollout.control,
            counted(recorded.users(), "user")
        );
        return Ok(note(false, detail));
    }
    let mut nulls = Nulls::default();
    let judged = rollout.judged_steps();
    while (nulls.steps as u64) < FEW {
        nulls += simulated(rollout, &recorded, nulls.steps as u64, AT_ONCE)?;
        let (lower, upper) = nulls.ends(judged).bounds;
        if upper < TARGET || lower >= TARGET {
            break;
        }
    }
    let ends = nulls.ends(judged);
    let is_short = ends.bounds.1 < TARGET;
    let detail = format!(
        "of canaries that do no harm {} users of each promote about {:.0} % ({:.0} to {:.0}), by {}{}",
        rollout.horizon,
        ends.promoted * 100.0,
        ends.bounds.0 * 100.0,
        ends.bounds.1 * 100.0,
        counted(nulls.steps, "simulated step"),
        if is_short { "; `pipeline stack horizon` finds one that promotes 95 %" } else { "" }
    );
    Ok(note(!is_short, detail))
}
