//! What a query asked for, when its answer no longer says: `rate()` and sums take the metric's name away.

use super::series::measure;
use crate::formats::Object;
use crate::formats::samples::Measure;

/// A longer query is not looked into, and a longer name is cut: queries may list every pod of a cluster.
const LIMIT: usize = 64 << 10;
const NAME_LIMIT: usize = 256;

/// A query, as far as it is understood.
///
/// Understood are `sum|max|avg|min by (…) (rate|irate(METRIC{…}[5m]))` in any nesting, and the share of throttled
/// periods as one such by another. Whatever else a query does, its values are no plain samples, and become `kpi`.
pub(super) struct Query {
    /// What its values are called where no metric is named.
    pub(super) name: String,
    /// The namespace, if it asks for only one: sums may take it from the labels.
    pub(super) namespace: Option<String>,
    /// The `resource` it asks for, which is how kube-state-metrics tells CPU from memory.
    resource: Option<String>,
    /// The metric, or the two that are divided, and whether their growth a second is asked for.
    sides: Vec<Option<(String, bool)>>,
}

impl Query {
    pub(super) fn read(query: &str) -> Self {
        let bare = if query.len() <= LIMIT { bare(query) } else { String::from("?") };
        let side = |side: &str| metric(side).map(|(name, rate)| (name.to_owned(), rate));
        let name = if query.len() <= NAME_LIMIT {
            query.to_owned()
        } else {
            let start = &query[..query.floor_char_boundary(NAME_LIMIT)];
            format!("{start}… {}", &blake3::hash(query.as_bytes()).to_hex()[..16])
        };
        Self {
            name,
            namespace: matched(query, "namespace"),
            resource: matched(query, "resource"),
            sides: bare.split('/').take(3).map(side).collect(),
        }
    }

    /// What a series of the answer measures, if it is something about a container.
    pub(super) fn measure(&self, labels: &Object) -> Option<Measure> {
        let known = |side: &Option<(String, bool)>| {
            let (name, rate) = side.as_ref()?;
            let mut labels = labels.clone();
            labels.extend(self.resource.as_deref().map(|resource| ("resource".to_owned(), resource.into())));
            Some((measure(name, &labels)?, *rate))
        };
        match &self.sides[..] {
            [one] => known(one).and_then(|(measure, rate)| if rate { measure.per_second() } else { Some(measure) }),
            [above, below] => match (known(above)?, known(below)?) {
                ((Measure::THROTTLED_PERIODS, true), (Measure::PERIODS, true)) => Some(Measure::THROTTLED_RATIO),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The query without selectors, windows, texts and groupings.
fn bare(query: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut quote) = (0_usize, None);
    let mut letters = query.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', Some(_)) => drop(letters.next()),
            (letter, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'' | '`', None) => quote = Some(letter),
            ('{' | '[', None) => depth += 1,
            ('}' | ']', None) => depth = depth.saturating_sub(1),
            (letter, None) if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    for word in ["by", "without"] {
        while let Some((start, end)) = grouping(&out, word) {
            out.replace_range(start..end, " ");
        }
    }
    out
}

/// Where `by (…)` stands.
fn grouping(text: &str, word: &str) -> Option<(usize, usize)> {
    text.match_indices(word).find_map(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].trim_start();
        let alone = before.is_none_or(|c| c.is_whitespace() || c == ')') && after.starts_with('(');
        let open = text.len() - after.len();
        alone.then(|| Some((start, open + after.find(')')? + 1)))?
    })
}

/// The one metric in a bare query and whether its growth a second is asked for.
fn metric(bare: &str) -> Option<(&str, bool)> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if bare.chars().any(|c| !(allowed(c) || c.is_whitespace() || c == '(' || c == ')')) {
        return None;
    }
    let (mut name, mut rate) = (None, false);
    for word in bare.split(|c: char| !allowed(c)).filter(|word| !word.is_empty()) {
        match word {
            "sum" | "max" | "avg" | "min" => {}
            "rate" | "irate" => rate = true,
            word if name.is_none() => name = Some(word),
            _ => return None,
        }
    }
    Some((name?, rate))
}

/// The value that a selector asks a label to have.
fn matched(query: &str, label: &str) -> Option<String> {
    query.match_indices(label).find_map(|(at, _)| {
        let before = query[..at].chars().next_back();
        let after = query[at + label.len()..].trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
        let alone = before.is_some_and(|c| c == '{' || c == ',' || c.is_whitespace());
        let value = &after[..after.find('"')?];
        (alone && !value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(query: &str) -> Option<Measure> {
        Query::read(query).measure(&Object::new())
    }

    #[test]
    fn a_rate_of_cpu_seconds_is_cores() {
        let krr = r#"max(rate(container_cpu_usage_seconds_total{namespace="dev", pod=~"a|b/c"}[5m])) by (pod, job)"#;
        assert_eq!((measured(krr), Query::read(krr).namespace.as_deref()), (Some(Measure::CPU.summed()), Some("dev")));
        assert_eq!(measured("sum by(pod) (irate(container_cpu_usage_seconds_total[1m]))"), Some(Measure::CPU.summed()));
        let memory = "max(container_memory_working_set_bytes{}) by (pod)";
        assert_eq!(measured(memory), Some(Measure::WORKING_SET));
        let limit = r#"max(kube_pod_container_resource_limits{resource="memory"}) by (pod)"#;
        assert_eq!(measured(limit), Some(Measure::MEMORY_LIMIT));
        let throttled = "sum(rate(container_cpu_cfs_throttled_periods_total[5m])) by (pod) \
            / sum(rate(container_cpu_cfs_periods_total[5m])) by (pod)";
        assert_eq!(measured(throttled), Some(Measure::THROTTLED_RATIO));
    }

    #[test]
    fn what_is_no_plain_sample_is_not_taken_for_one() {
        for query in [
            "",
            "(",
            "max_over_time(container_memory_working_set_bytes[14d])",
            "quantile_over_time(0.95, rate(container_cpu_usage_seconds_total[5m])[14d:5m])",
            "1000 * container_memory_working_set_bytes",
            "container_memory_working_set_bytes - container_memory_cache",
            "sum(rate(container_network_receive_bytes_total[5m])) by (pod)",
            "rate(container_memory_working_set_bytes[5m])",
            "up",
            "by by (",
            "ü{",
        ] {
            assert_eq!(measured(query), None, "{query}");
        }
    }

    #[test]
    fn a_query_of_any_length_has_a_short_name_of_its_own() {
        let long = |pod: &str| Query::read(&format!("up{{pod=~\"{}{pod}\"}}", "ü|".repeat(LIMIT))).name;
        assert!(long("a").len() < NAME_LIMIT + 24);
        assert_ne!(long("a"), long("b"));
    }
}
