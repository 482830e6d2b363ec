//! How a model's card is printed: its figures beside those of the baselines, what its levels cover, how it was chosen.

use crate::context::Context;
use domain::model::{Card, Coverage, Metrics};
use domain::probability::{Probability, Reliability};
use domain::units::{interval, signed_interval};
use std::collections::BTreeMap;

/// A card for people: the model beside its baselines.
pub fn show(context: &Context, card: &Card) {
    context.say(format!("{} · {} rows trained, {} later rows held out", card.model, card.rows_train, card.rows_test));
    table(context, &card.metrics, &card.baselines);
    for candidate in &card.judged.candidates {
        let folds: Vec<String> =
            candidate.folds.iter().map(|f| format!("{:.4}", f.metrics[&card.verdict.figure])).collect();
        let sign = if candidate.chosen { "chosen" } else { "" };
        context.say(format!(
            "  {:<24} loss on {} earlier folds: {}  {sign}",
            candidate.name,
            folds.len(),
            folds.join(" ")
        ));
    }
    coverage(context, &card.judged.coverage);
    let verdict = &card.verdict;
    let sign = if verdict.beats_baselines { "beats" } else { "does not beat" };
    let by = verdict
        .difference
        .map_or_else(String::new, |d| format!("; by row {:+.4} (95 %: {})", d.mean, signed_interval(d.low, d.high, 4)));
    let text = format!(
        "{:.4} {sign} the best baseline ({}, {:.4}){by}",
        verdict.ours, verdict.baseline, verdict.best_baseline
    );
    context.say_wrapped(format!("  {} ", verdict.figure), &text, 6);
    for serves in &card.judged.serves {
        context.say_wrapped("  serves: ", &serves.why, 10);
    }
    let kept = if card.champion.is_champion { "kept" } else { "not kept" };
    context.say_wrapped(format!("  {kept}: "), &card.champion.why, 12);
    if card.labels.feedback + card.labels.outcomes > 0 {
        let worth = card.labels.loss_with_and_without.map_or_else(String::new, |(with, without)| {
            let used = if card.labels.used { "" } else { ": they are not used" };
            format!("; Brier score {with:.4} with them, {without:.4} without{used}")
        });
        let text = format!(
            "{} measured, {} from people's verdicts and {} from outcomes, of which {} say otherwise than \
             measured{worth}",
            card.labels.measured,
            card.labels.feedback,
            card.labels.outcomes,
            card.labels.changed_by_feedback + card.labels.changed_by_outcomes
        );
        context.say_wrapped("  labels: ", &text, 10);
    }
    if let Some(probability) = &card.probability {
        show_probability(context, probability);
    }
}

/// How often levels held, overall and per group; repositories are in the card.
pub fn coverage(context: &Context, coverage: &[Coverage]) {
    for part in coverage.iter().filter(|part| part.of != "repository") {
        context.say(format!(
            "  p{:.0} covers {:.1} % ({} %) of {} rows{}{}",
            part.stated * 100.0,
            part.measured * 100.0,
            interval(part.low * 100.0, part.high * 100.0, 1),
            part.rows,
            if part.name.is_empty() { "" } else { ": " },
            part.name
        ));
    }
}

/// Figures of a model beside those of its baselines: one row per figure, one column per predictor, those that fit side by
/// side in 80 columns.
pub fn table(context: &Context, metrics: &Metrics, baselines: &BTreeMap<String, Metrics>) {
    let columns: Vec<(&str, &Metrics)> =
        std::iter::once(("model", metrics)).chain(baselines.iter().map(|(name, m)| (name.as_str(), m))).collect();
    let width = |name: &str| name.len().max(7) + 1;
    let figures = metrics.keys().map(String::len).max().unwrap_or_default().max(12);
    let mut rest = columns.as_slice();
    while !rest.is_empty() {
        let mut used = 2 + figures;
        let fitting = rest.iter().take_while(|(name, _)| {
            used += width(name);
            used <= 80
        });
        let (block, later) = rest.split_at(fitting.count().max(1));
        rest = later;
        let head: String = block.iter().map(|(name, _)| format!("{name:>0$}", width(name))).collect();
        context.say(format!("  {:<figures$}{head}", ""));
        for figure in metrics.keys() {
            let cells = block.iter().map(|(name, metrics)| {
                let value = match metrics.get(figure) {
                    Some(value) if value.abs() >= 100.0 => format!("{value:.1}"),
                    Some(value) => format!("{value:.4}"),
                    None => "-".to_owned(),
                };
                format!("{value:>0$}", width(name))
            });
            context.say(format!("  {figure:<figures$}{}", cells.collect::<String>()));
        }
    }
}

/// How a model of probabilities was chosen, and whether what it says comes true.
pub fn show_probability(context: &Context, probability: &Probability) {
    let Probability { choice, reliability, causes, trust, rules } = probability;
    let shares = |of: &[(String, f64)]| {
        of.iter().map(|(name, share)| format!("{:.0} % {name}", share * 100.0)).collect::<Vec<_>>().join(", ")
    };
    context.say(format!("  blend: {}; calibration: {}", shares(&choice.blend), choice.calibration));
    let gone: Vec<&str> =
        choice.families.iter().filter(|f| !choice.carried_over.contains(f)).map(String::as_str).collect();
    if !gone.is_empty() {
        context.say(format!("  did not carry over to later rows: {}", gone.join(", ")));
    }
    show_reliability(context, reliability);
    if !causes.is_empty() {
        let counts: Vec<String> = causes.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
        context.say(format!("  likely causes of contention: {}", counts.join(", ")));
    }
    if trust.stranger_rows > 0 {
        let bound = trust.strangers_move_at_most.map_or_else(
            || "not bounded: too few rows of others".to_owned(),
            |bound| format!("together they move no probability by more than {bound}"),
        );
        context.say(format!("  {} rows of forks and strangers, {bound}", trust.stranger_rows));
    }
    context.say("  a small tree, to read:");
    rules.lines().for_each(|line| context.say(format!("    {line}")));
}

/// What was said beside what came.
pub fn show_reliability(context: &Context, reliability: &[Reliability]) {
    context.say("  said          came    rows");
    for range in reliability {
        let (said, came) = (range.said * 100.0, range.measured * 100.0);
        context.say(format!("  {said:>5.1} %     {came:>5.1} %  {:>6}", range.rows));
    }
}
