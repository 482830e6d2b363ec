//! What the models can and cannot: measured coverage beside what is stated, the main figure beside the best baseline, age.

use super::Source;
use crate::artifacts::newest_card;
use crate::failure::Failure;
use domain::model::Card;
use domain::time::DAY;
use learn::model::MODELS;
use page::{
    Bar, Bars, Block, Cell, Chart, Column, Ink, Lines, Panel, Scale, Section, Series, Shape, Table, Tone, Track,
    Tracks, Unit,
};

/// One section, a part a model.
pub async fn section(source: &Source<'_>) -> Result<Section, Failure> {
    let about = "Measured on runs that were held out when a model was trained: later than all it had seen.";
    let mut section = Section::new("What the models can, and what not", about);
    let now = source.context.now;
    let mut cards = Vec::new();
    for learner in MODELS {
        match newest_card(source.lake, learner.name(), now).await? {
            Some((_, card)) => cards.push(card),
            None => {
                let train = format!("pipeline train {}", learner.name());
                let what = format!("No model of {} serves: nothing is predicted from one.", learner.name());
                section.parts.push(
                    Section { id: format!("model-{}", learner.name()), ..Section::new(learner.name(), "") }
                        .with([Block::missing(what, &[train.as_str()])]),
                );
            }
        }
    }
    if cards.is_empty() {
        section.parts.clear();
        let how = ["pipeline train --since 30d", "pipeline evaluate"];
        section.blocks.push(Block::missing("No model was trained yet.", &how));
        return Ok(section);
    }
    section.blocks.push(Block::Table(overview(&cards, now)));
    let mut parts: Vec<Section> = cards.iter().map(part).collect();
    parts.append(&mut section.parts);
    section.parts = parts;
    Ok(section)
}

/// The cards of the models that serve.
pub async fn serving(source: &Source<'_>) -> Result<Vec<Card>, Failure> {
    let mut cards = Vec::new();
    for learner in MODELS {
        let found = newest_card(source.lake, learner.name(), source.context.now).await?;
        cards.extend(found.map(|(_, card)| card));
    }
    Ok(cards)
}

/// The models beside each other.
fn overview(cards: &[Card], now: domain::Timestamp) -> Table {
    let age = |card: &Card| (now.0 - card.data_watermark.0) as f64 / DAY as f64;
    let beats = |card: &Card| card.verdict.beats_baselines;
    let aged = |card: &Card| {
        let cell = Cell::amount(Unit::Plain, Some((age(card) * 10.0).round() / 10.0));
        cell.toned(if age(card) > 7.0 { Tone::Warn } else { Tone::Plain })
    };
    let best = |card: &Card| {
        Cell::text(format!("{} ({})", Unit::Plain.format(card.verdict.best_baseline), card.verdict.baseline))
    };
    let verdict = |card: &Card| {
        let words = if beats(card) { "better than every baseline" } else { "no better than a baseline" };
        Cell::text(words).toned(if beats(card) { Tone::Good } else { Tone::Warn })
    };
    Table::of("The models that serve", cards)
        .text("model", |card| card.model.clone())
        .text("version", |card| card.version.clone())
        .cells(Column::number("age of its data (days)"), |card| aged(card))
        .amount("rows trained on", Unit::Plain, |card| Some(card.rows_train as f64))
        .amount("rows held out", Unit::Plain, |card| Some(card.rows_test as f64))
        .text("figure", |card| card.verdict.figure.replace('_', " "))
        .amount("its own", Unit::Plain, |card| Some(card.verdict.ours))
        .cells(Column::number("best baseline"), |card| best(card))
        .cells(Column::text("verdict"), |card| verdict(card))
        .table()
}

/// One model.
fn part(card: &Card) -> Section {
    let mut part = Section::new(&card.model, format!("{}. {}.", capital(&card.predicts), card.algorithm));
    part.id = format!("model-{}", card.model);
    if !card.judged.gate.passed() {
        part.badge = "coverage is off".into();
        part.tone = Tone::Bad;
        part.blocks.push(Block::List { items: card.judged.gate.missed.clone() });
    }
    part.blocks.extend(coverage(card));
    part.blocks.extend(reliability(card));
    part.blocks.extend(beside_baselines(card));
    for serves in &card.judged.serves {
        part.blocks.push(Block::text(format!("Serves: {}. {}", serves.name, serves.why)));
    }
    if !card.champion.why.is_empty() {
        part.blocks.push(Block::text(format!("Why this version: {}.", card.champion.why.trim_end_matches('.'))));
    }
    part
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Stated levels beside the shares that lay at or below them.
fn coverage(card: &Card) -> Option<Block> {
    let all: Vec<_> = card.judged.coverage.iter().filter(|coverage| coverage.of == "all").collect();
    if all.is_empty() {
        return None;
    }
    let columns = vec![
        Column::text("level"),
        Column::number("stated (%)"),
        Column::number("measured (%)"),
        Column::number("95 % from (%)"),
        Column::number("to (%)"),
        Column::number("rows"),
    ];
    let mut numbers = Table::new("Coverage on held-out runs", columns);
    let mut tracks = Vec::new();
    for coverage in all {
        let name = format!("{} p{:.0}", coverage.name, coverage.stated * 100.0).trim().to_owned();
        let held = (coverage.low..=coverage.high).contains(&coverage.stated);
        let figures = [coverage.stated, coverage.measured, coverage.low, coverage.high]
            .map(|x| Cell::amount(Unit::Share, Some(x)));
        let rows = Cell::amount(Unit::Plain, Some(coverage.rows as f64));
        numbers.rows.push([vec![Cell::text(&name)], figures.to_vec(), vec![rows]].concat());
        tracks.push(Track {
            name: if held { name } else { format!("{name}: off") },
            range: Some((coverage.low, coverage.high)),
            marks: vec![Some(coverage.stated), Some(coverage.measured)],
            failed: !held,
        });
    }
    let caption = format!(
        "{}: the share of held-out runs at or below each level, beside what the level states. The line is the 95 % interval; where \
         it misses the tick, the level is off.",
        card.model
    );
    let marks = vec!["stated".to_owned(), "measured".to_owned()];
    let chart = Tracks { unit: Unit::Share, marks, range: "95 % interval of what was measured".into(), tracks };
    Some(Block::figure(caption, Chart::Tracks(chart), numbers))
}

/// Said probabilities beside how often it came so.
fn reliability(card: &Card) -> Option<Block> {
    let bins: Vec<_> = card.probability.as_ref()?.reliability.iter().filter(|bin| bin.rows > 0).collect();
    if bins.is_empty() {
        return None;
    }
    let numbers = Table::of("Said and came, by tenths of probability", &bins)
        .text("said between", |bin| format!("{:.0} and {:.0} %", bin.from * 100.0, bin.from * 100.0 + 10.0))
        .amount("said (%)", Unit::Share, |bin| Some(bin.said))
        .amount("came (%)", Unit::Share, |bin| Some(bin.measured))
        .amount("rows", Unit::Plain, |bin| Some(bin.rows as f64))
        .table();
    let tracks = bins.iter().map(|bin| Track {
        name: format!("said {:.0} to {:.0} %: {} cases", bin.from * 100.0, bin.from * 100.0 + 10.0, bin.rows),
        range: None,
        marks: vec![Some(bin.said), Some(bin.measured)],
        failed: false,
    });
    let caption = format!(
        "{}: how often it came as it was said. Where the dot lies on the tick, the probability can be taken at its word.",
        card.model
    );
    let marks = vec!["said".to_owned(), "came".to_owned()];
    let chart = Tracks { unit: Unit::Share, marks, range: String::new(), tracks: tracks.collect() };
    Some(Block::figure(caption, Chart::Tracks(chart), numbers))
}

/// The figure of the verdict, beside each baseline's.
fn beside_baselines(card: &Card) -> Option<Block> {
    let figure = &card.verdict.figure;
    let mut all: Vec<(&str, f64)> = vec![("this model", card.verdict.ours)];
    let named = card.baselines.iter().filter_map(|(name, metrics)| Some((name.as_str(), *metrics.get(figure)?)));
    all.extend(named);
    if all.len() < 2 {
        return None;
    }
    let mut numbers =
        Table::new("Beside simple baselines", vec![Column::text("who"), Column::number(&figure.replace('_', " "))]);
    let mut bars = Vec::new();
    for (name, value) in all {
        numbers.rows.push(vec![Cell::text(name.replace('_', " ")), Cell::amount(Unit::Plain, Some(value))]);
        bars.push(Bar {
            name: name.replace('_', " "),
            value,
            ink: if name == "this model" { Ink::Green } else { Ink::Blue },
            ..Bar::default()
        });
    }
    let caption = format!(
        "{}: {} of the model and of simple baselines on the same held-out runs. Lower is better.",
        card.model,
        figure.replace('_', " ")
    );
    Some(Block::figure(caption, Chart::Bars(Bars { bars, ..Bars::default() }), numbers))
}

/// How many events came each day, by kind.
pub fn events_by_day(days: &[(f64, f64)]) -> Block {
    let numbers = Table::of("Events by day", days)
        .text("day", |(at, _)| domain::Timestamp(*at as i64).date())
        .amount("events", Unit::Plain, |(_, events)| Some(*events))
        .table();
    let series = Series {
        name: "events".into(),
        ink: Ink::Blue,
        shape: Shape::Columns,
        points: days.iter().map(|(at, events)| (*at, Some(*events))).collect(),
    };
    let panel = Panel { series: vec![series], ..Panel::default() };
    let caption = "Events of each day. A day without any is a day that nobody saw.";
    Block::figure(caption, Chart::Lines(Lines { scale: Scale::Time, panels: vec![panel] }), numbers)
}
