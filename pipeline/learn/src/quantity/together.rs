//! Several quantities as one model: their figures, candidates and features under the prefix of each.

use super::Learnt;
use crate::card::Evaluation;
use domain::drift::Spread;
use domain::model::{Candidate, Metrics, Serves};

/// Several quantities as one evaluation: figures under their prefix, and the mean of their losses.
pub(super) fn together<'a>(parts: impl Iterator<Item = (&'a str, Evaluation)>) -> Evaluation {
    let mut all = Evaluation::default();
    let parts: Vec<_> = parts.collect();
    let losses = |of: &dyn Fn(&Evaluation) -> Option<f64>| {
        let values: Vec<f64> = parts.iter().filter_map(|(_, part)| of(part)).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let loss = losses(&|part| part.metrics.get("loss_log").copied());
    let names: Vec<String> =
        parts.first().map(|(_, part)| part.baselines.keys().cloned().collect()).unwrap_or_default();
    for name in names {
        let loss = losses(&|part| part.baselines.get(&name)?.get("loss_log").copied());
        all.baselines.insert(name, Metrics::from([("loss_log".to_owned(), loss)]));
    }
    let put = |into: &mut Metrics, prefix: &str, from: Metrics| {
        into.extend(from.into_iter().map(|(figure, value)| (format!("{prefix}{figure}"), value)));
    };
    let lone = parts.len() == 1 && parts[0].0.is_empty();
    for (prefix, part) in parts {
        put(&mut all.metrics, prefix, part.metrics);
        for (name, figures) in part.baselines {
            put(all.baselines.entry(name).or_default(), prefix, figures);
        }
        all.rows = all.rows.max(part.rows);
        all.coverage.extend(part.coverage.into_iter().map(|c| c.with_prefix(prefix)));
        all.gate.missed.extend(part.gate.missed.into_iter().map(|why| format!("{prefix}{why}")));
        all.losses.extend(part.losses.into_iter().map(|(repo, key, loss)| (repo, format!("{prefix}{key}"), loss)));
        for (name, losses) in part.baseline_losses {
            all.baseline_losses.entry(name).or_default().extend(losses);
        }
    }
    if !lone {
        all.metrics.insert("loss_log".to_owned(), loss);
    }
    all
}

pub(super) fn named(prefix: &str, one: &mut Learnt) -> Vec<Candidate> {
    let mut candidates = std::mem::take(&mut one.judged.candidates);
    candidates.iter_mut().for_each(|c| c.name = format!("{prefix}{}", c.name));
    candidates
}

pub(super) fn serves(prefix: &str, one: &mut Learnt) -> Vec<Serves> {
    let serves = std::mem::take(&mut one.judged.serves);
    serves
        .into_iter()
        .map(|s| Serves { name: format!("{prefix}{}", s.name), why: format!("{prefix}{}", s.why), ..s })
        .collect()
}

pub(super) fn profiled(prefix: &str, one: &mut Learnt) -> Vec<(String, Spread)> {
    let features = std::mem::take(&mut one.judged.profile.features);
    features.into_iter().map(|(name, spread)| (format!("{prefix}{name}"), spread)).collect()
}
