//! `judge`: two queries, one verdict. 0 a regression of the margin is excluded, 3 harm is shown, 5 neither.

use crate::commands::sql::half_of_memory;
use crate::commands::sql::watch::Watch;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::values::share;
use clap::Args;
use domain::judge::{
    Design, Direction, Effect, JudgeError, Judgement, Margin, Rules, RulesError, Sample, Verdict, judge,
};
use lake::{Samples, View};
use serde_json::{Value, json};

/// The arguments of `judge`.
#[derive(Debug, Args)]
#[command(after_help = "\
A query returns the column `value`, or the column that --metric names. Optional
columns are `ts` (time or number, gives the order), `unit` (unit of
randomisation: its rows count as one observation) and `censored` (true: the
value is a lower bound, as for a time-out). A query may read local files:
select * from 'canary.parquet'.

Exit codes: 0 pass (a regression of the margin or more is excluded), 3 fail
(harm is shown), 5 inconclusive. Repeated looks are safe, because earlier looks
are replayed.

Examples:
  runs=\"select duration_ms, started_at as ts from marts.runs where env =\"
  pipeline judge --metric duration_ms --horizon 200 \\
    --control \"$runs 'ci-a'\" --candidate \"$runs 'ci-b'\"")]
pub struct JudgeArgs {
    /// Observations of the control, from the same period as the candidate's observations
    #[arg(long, value_name = "SQL", allow_hyphen_values = true)]
    control: String,
    /// Observations of the candidate
    #[arg(long, value_name = "SQL", allow_hyphen_values = true)]
    candidate: String,
    /// Column to judge
    #[arg(long, value_name = "NAME", default_value = "value")]
    metric: String,
    /// Lower values are better: durations, errors, cost [default]
    #[arg(long, conflicts_with = "higher_better")]
    lower_better: bool,
    /// Higher values are better: throughput, hit rates
    #[arg(long)]
    higher_better: bool,
    /// Regression that a pass excludes, relative to the control
    #[arg(long, value_name = "SHARE", default_value = "20%", allow_hyphen_values = true)]
    #[arg(value_parser = share(.., "write it as 20% or 0.2"))]
    margin: f64,
    /// The same margin in units of the metric, such as 0.02 for a rate
    #[arg(long, value_name = "AMOUNT", conflicts_with = "margin", allow_hyphen_values = true)]
    margin_by: Option<f64>,
    /// Sample size of each arm at the last look, declared before the first look. Without a horizon, the test is
    /// open-ended and needs more observations
    #[arg(long, value_name = "N")]
    horizon: Option<usize>,
    /// Bound on the probability of a wrong fail, and of a wrong pass, over all looks
    #[arg(long, value_name = "SHARE", default_value = "0.05", value_parser = share(.., "write it as 20% or 0.2"))]
    alpha: f64,
    /// Maximum number of looks before the horizon
    #[arg(long, value_name = "N", default_value_t = 40)]
    looks: usize,
    /// Accept a control from an earlier period; this is weaker, because drift counts as an effect
    #[arg(long)]
    control_before: bool,
    /// Random seed of the permutations
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl JudgeArgs {
    fn rules(&self) -> Rules {
        Rules {
            direction: if self.higher_better { Direction::HigherIsBetter } else { Direction::LowerIsBetter },
            margin: self.margin_by.map_or(Margin::Relative(self.margin), Margin::Absolute),
            alpha: self.alpha,
            horizon: self.horizon,
            looks: self.looks,
            seed: self.seed,
            accepts_other_time: self.control_before,
            ..Rules::default()
        }
    }
}

/// Asks both queries and judges.
pub async fn run(context: &Context, args: JudgeArgs) -> Result<Answer, Failure> {
    let rules = args.rules();
    rules.check().map_err(|error| cannot(&error.into()))?;
    let lake = context.lake().await?;
    let memory = half_of_memory();
    let view = View { files: true, memory_bytes: Some(memory), ..View::default() };
    let session = lake.session_of(context.now, view).await?;
    let watch = Watch::begin(memory);
    let asked = async {
        let control = session.samples("control", &args.control, &args.metric).await?;
        let candidate = session.samples("candidate", &args.candidate, &args.metric).await?;
        Ok::<_, Failure>((control, candidate))
    };
    let (control, candidate) = tokio::select! {
        samples = asked => samples?,
        failure = watch.overrun() => return Err(failure),
    };
    let judged = judge(&control.observations, &candidate.observations, &rules).map_err(|error| cannot(&error))?;
    let mut cautions = judged.cautions.clone();
    cautions.extend(missing(&control, &candidate));
    show(context, &args, &rules, &judged, &cautions);
    let exit = match judged.verdict {
        Verdict::Pass => Exit::Done,
        Verdict::Fail => Exit::Findings,
        Verdict::Inconclusive => Exit::Inconclusive,
    };
    let json = answer(&args, &rules, &judged, [&control, &candidate], &cautions);
    Ok(Answer::new(exit, json).brief(judged.verdict.name()))
}

fn cannot(error: &JudgeError) -> Failure {
    let hint = match error {
        JudgeError::Rules(RulesError::Alpha(_)) => "--alpha is the error you accept, such as 0.05",
        JudgeError::Rules(RulesError::Margin(_)) => {
            "--margin is a share above 0, such as 20%; when higher is better, below 100%"
        }
        JudgeError::Rules(RulesError::Horizon(_)) => "--horizon is the number of observations of each arm at the end",
        JudgeError::Rules(RulesError::Looks) => "--looks is how often is looked at most, such as 40",
        JudgeError::NotFinite(_) => {
            "leave the row out in the query, or write how far it came and mark it in a column censored"
        }
        JudgeError::SomeTimes => "both queries have a column ts, or neither: it orders the rows of both arms",
        JudgeError::SomeUnits(_) => "give every row its unit, or leave the column out",
        JudgeError::TooMany(_) => "judge a shorter time, or one row a minute",
    };
    Failure::new(Exit::Usage, format!("cannot judge: {error}")).hint(hint)
}

fn missing(control: &Samples, candidate: &Samples) -> Option<String> {
    let missing = [control.without_value, candidate.without_value];
    (missing != [0, 0]).then(|| {
        format!(
            "rows without a value are left out, {} of the control and {} of the candidate: if they are those that failed, \
             judge how often that is too",
            missing[0], missing[1]
        )
    })
}

/// Three digits that count.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        size if size >= 0.1 => 3,
        0.0 => 0,
        _ => return format!("{value:.2e}"),
    };
    format!("{value:.digits$}")
}

fn change(effect: &Effect, value: f64) -> String {
    match effect.is_relative {
        true => format!("{:+.1} %", value * 100.0),
        false if value < 0.0 => figure(value),
        false => format!("+{}", figure(value)),
    }
}

fn show(context: &Context, args: &JudgeArgs, rules: &Rules, judged: &Judgement, cautions: &[String]) {
    let verdict = judged.verdict.name();
    say(context, &format!("{verdict}: "), &judged.reason);
    let better = if rules.direction == Direction::LowerIsBetter { "lower" } else { "higher" };
    if let Some(effect) = &judged.effect {
        let bound = |bound: Option<f64>| bound.map_or_else(|| "unknown".to_owned(), |value| change(effect, value));
        let interval = match (effect.lower, effect.upper) {
            (None, None) => "no interval yet".to_owned(),
            (lower, upper) => format!("{} to {}", bound(lower), bound(upper)),
        };
        let text = format!("{} ({interval}); {better} is better", change(effect, effect.change));
        say(context, &format!("  {}: ", args.metric), &text);
    }
    if let Some(tail) = judged.tail {
        context.say(format!(
            "  beyond the 95th percentile: control {:.1} %, candidate {:.1} %",
            tail.control * 100.0,
            tail.candidate * 100.0
        ));
    }
    let arm = |name: &str, sample: &Sample| {
        let mean = sample.mean.map_or_else(String::new, |mean| format!(", mean {}", figure(mean)));
        let rows = if sample.rows == sample.observations { String::new() } else { format!(" in {} rows", sample.rows) };
        let censored = if sample.censored == 0 { String::new() } else { format!(", {} censored", sample.censored) };
        context.say(format!("  {name}: {} observations{rows}{censored}{mean}", sample.observations));
    };
    arm("control", &judged.control);
    arm("candidate", &judged.candidate);
    let spent = match judged.design {
        Design::Horizon => {
            let spent = (judged.alpha_spent * 1e4).round() / 1e4;
            format!("; {spent} of alpha {} spent", rules.alpha)
        }
        Design::Wealth => String::new(),
    };
    let decided = if judged.verdict == Verdict::Inconclusive { "seen" } else { "decided" };
    context.say(format!("  {decided} at {} observations of each arm, look {}{spent}", judged.used, judged.looks));
    if let Some(needed) = judged.needed {
        say(context, "  needed: ", &need(needed, rules));
    }
    cautions.iter().for_each(|caution| say(context, "  caution: ", caution));
}

/// What is long goes on below its own beginning.
fn say(context: &Context, lead: &str, text: &str) {
    context.say_wrapped(lead, text, lead.chars().count().min(40));
}

/// What would decide.
fn need(needed: usize, rules: &Rules) -> String {
    let needed_text = format!("about {needed} observations of each arm, if effect and spread are as they seem");
    match rules.horizon {
        Some(horizon) if needed > horizon => {
            format!("{needed_text}: more than the horizon. Declare a longer one for a new comparison")
        }
        _ => needed_text,
    }
}

fn answer(args: &JudgeArgs, rules: &Rules, judged: &Judgement, samples: [&Samples; 2], cautions: &[String]) -> Value {
    let margin = match rules.margin {
        Margin::Relative(share) => json!({"share": share}),
        Margin::Absolute(amount) => json!({"amount": amount}),
    };
    let effect = judged.effect.map(|effect| {
        let kind = if effect.is_relative { "share" } else { "amount" };
        json!({"kind": kind, "change": effect.change, "lower": effect.lower, "upper": effect.upper})
    });
    let arm = |sample: &Sample, samples: &Samples| {
        json!({"rows": sample.rows, "observations": sample.observations, "censored": sample.censored,
            "without_value": samples.without_value, "mean": sample.mean})
    };
    json!({
        "verdict": judged.verdict.name(),
        "reason": judged.reason,
        "design": judged.design.name(),
        "metric": args.metric,
        "better": if rules.direction == Direction::LowerIsBetter { "lower" } else { "higher" },
        "margin": margin,
        "alpha": rules.alpha,
        "alpha_spent": judged.alpha_spent,
        "horizon": rules.horizon,
        "looks": judged.looks,
        "used": judged.used,
        "effect": effect,
        "control": arm(&judged.control, samples[0]),
        "candidate": arm(&judged.candidate, samples[1]),
        "tail": judged.tail.map(|tail| json!({"control": tail.control, "candidate": tail.candidate})),
        "needed": judged.needed,
        "cautions": cautions,
        "seed": rules.seed,
    })
}
