//! The figures of the report for Prometheus: OpenMetrics text that a node-exporter's textfile collector reads as well. No
//! timestamps, which that collector refuses; how old the file is, it says itself.

use super::fleet::{self, Fleet, month};
use super::ledger::{Standing, Stands, newest};
use super::{Source, models};
use crate::failure::Failure;
use domain::plan::{Action, Item};
use std::fmt::Write;

/// One metric with its samples.
struct Metric {
    name: &'static str,
    help: &'static str,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// Everything, as text.
pub async fn text(source: &Source<'_>) -> Result<String, Failure> {
    let fleet = fleet::gather(source).await?;
    let entries = crate::ledger::entries(source.lake).await?;
    let plan = newest(source.context, source.lake, &entries).await?;
    let mut all = vec![one(
        "pipeline_export_timestamp_seconds",
        "When this file was written; alert where it is old.",
        source.context.now.0 as f64 / 1e6,
    )];
    all.extend(fleet.metrics());
    all.extend(plan.iter().flat_map(of_plan));
    let cards = models::serving(source).await?;
    let sample = |name: String, value: f64| (vec![("model", name)], value);
    all.push(Metric {
        name: "pipeline_model_watermark_timestamp_seconds",
        help: "Newest event that the model which serves has seen.",
        samples: cards.iter().map(|card| sample(card.model.clone(), card.data_watermark.0 as f64 / 1e6)).collect(),
    });
    all.push(Metric {
        name: "pipeline_model_beats_baselines",
        help: "1 where the model was better than every simple baseline on held-out runs.",
        samples: cards
            .iter()
            .map(|c| sample(c.model.clone(), f64::from(u8::from(c.verdict.beats_baselines))))
            .collect(),
    });
    let rejects =
        source.rows("select reason, count(*) as lines from staging.rejects group by reason order by reason").await?;
    let reason = |row: &serde_json::Value| row["reason"].as_str().unwrap_or_default().to_owned();
    all.push(Metric {
        name: "pipeline_rejected_lines",
        help: "Lines of dumps that could not be taken and are kept with their reason.",
        samples: rejects
            .iter()
            .map(|row| (vec![("reason", reason(row))], row["lines"].as_f64().unwrap_or(0.0)))
            .collect(),
    });
    Ok(written(&all))
}

fn one(name: &'static str, help: &'static str, value: f64) -> Metric {
    Metric { name, help, samples: vec![(Vec::new(), value)] }
}

impl Fleet {
    fn metrics(&self) -> Vec<Metric> {
        let mut all = Vec::new();
        if let Some(newest) = self.newest() {
            let name = "pipeline_newest_usage_timestamp_seconds";
            all.push(one(name, "Newest hour of usage in the lake.", newest.0 as f64 / 1e6));
        }
        let columns: [(&str, &str, &str, f64); 6] = [
            ("pipeline_resource_cpu_limit_cores", "Processor limit of the resource.", "cpu_limit", 1.0),
            ("pipeline_resource_cpu_peak_cores", "Largest processor use of the days shown.", "cpu_peak", 1.0),
            ("pipeline_resource_memory_limit_bytes", "Memory limit of the resource.", "gib_limit", 1_073_741_824.0),
            (
                "pipeline_resource_memory_peak_bytes",
                "Largest memory use of the days shown.",
                "gib_peak",
                1_073_741_824.0,
            ),
            ("pipeline_resource_contended_ratio", "Share of its hours that were contended.", "contended_pct", 0.01),
            ("pipeline_resource_memory_kills", "Kills for memory in the days shown.", "oom_kills", 1.0),
        ];
        for (name, help, column, factor) in columns {
            let samples = self.rows().iter().filter_map(|row| {
                let resource = row["resource"].as_str()?.to_owned();
                Some((vec![("resource", resource)], row[column].as_f64()? * factor))
            });
            all.push(Metric { name, help, samples: samples.collect() });
        }
        if let Some(p95) = self.figures(None).get("p95 of builds and tests (s)") {
            let help = "95th percentile of the duration of builds and tests in the days shown.";
            all.push(one("pipeline_runs_p95_duration_seconds", help, *p95));
        }
        all
    }
}

fn of_plan(standing: &Standing) -> Vec<Metric> {
    let plan = &standing.plan;
    let items: Vec<&Item> = plan.items.iter().collect();
    let count = |action: Action| items.iter().filter(|item| item.action == action).count() as f64;
    let stands = match standing.stands {
        Stands::Waits => "waits",
        Stands::Approved(_) => "approved",
        Stands::Applied(_) => "applied",
        Stands::RolledBack(_) => "rolled_back",
        Stands::Expired => "expired",
    };
    let named = |action: &str| vec![("action", action.to_owned())];
    vec![
        Metric {
            name: "pipeline_plan_info",
            help: "The newest plan, and how it stands.",
            samples: vec![(vec![("plan_id", plan.plan_id.clone()), ("stands", stands.to_owned())], 1.0)],
        },
        one(
            "pipeline_plan_created_timestamp_seconds",
            "When the newest plan was made.",
            plan.created_at.0 as f64 / 1e6,
        ),
        one("pipeline_plan_expires_timestamp_seconds", "Until when it may be applied.", plan.expires_at.0 as f64 / 1e6),
        Metric {
            name: "pipeline_plan_items",
            help: "Items of the newest plan by what they do.",
            samples: vec![
                (named("resize"), count(Action::Resize)),
                (named("fix_leak"), count(Action::FixLeak)),
                (named("none"), count(Action::None)),
            ],
        },
        Metric {
            name: "pipeline_plan_cost_month",
            help: "List price of the limits for a month, now and after the plan.",
            samples: vec![
                (vec![("when", "now".to_owned())], month(&items, |item| item.before)),
                (vec![("when", "after".to_owned())], month(&items, |item| item.after)),
            ],
        },
    ]
}

/// The text: each metric once, with its type; what is not finite is left out.
fn written(metrics: &[Metric]) -> String {
    let mut out = String::new();
    for metric in metrics.iter().filter(|metric| !metric.samples.is_empty()) {
        let _ = writeln!(out, "# HELP {} {}", metric.name, metric.help);
        let _ = writeln!(out, "# TYPE {} gauge", metric.name);
        for (labels, value) in metric.samples.iter().filter(|(_, value)| value.is_finite()) {
            let labels: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(out, "{}{labels} {value}", metric.name);
        }
    }
    out.push_str("# EOF\n");
    out
}

/// The value of a label, as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_label() {
        let hostile = Metric { name: "m", help: "h", samples: vec![(vec![("resource", "a\"} 1\nx\\".into())], 2.0)] };
        assert_eq!(written(&[hostile]), "# HELP m h\n# TYPE m gauge\nm{resource=\"a\\\"} 1\\nx\\\\\"} 2\n# EOF\n");
    }
}
