//! The payload fields of the contract: their names, JSON types, and which are required.
//!
//! One table serves the decoder (what to refuse), the lake (typed columns) and the docs.

/// What JSON a field holds and which column it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A string or a whole number, kept as text: identifiers that systems write either way.
    Id,
    /// A whole number of either sign.
    Int,
    /// A whole number, not negative: counts, bytes, durations.
    Count,
    /// Any number.
    Float,
    /// A number, not negative: cores, seconds, shares.
    Amount,
    /// `true` or `false`.
    Bool,
    /// An RFC 3339 time, as a string.
    Time,
    /// An array, kept as JSON text.
    List,
    /// Anything, kept as JSON text.
    Json,
}

/// Seconds of a year: nothing that is measured takes longer.
const YEAR_S: f64 = 31_536_000.0;

/// The most cores that a machine or group has.
const CORES: f64 = 10_000.0;

/// A pebibyte.
const BYTES: f64 = (1_u64 << 50) as f64;

/// The most of anything that is counted one by one: sums of a lake's worth of them stay 64-bit numbers.
const COUNT: f64 = 1e12;

/// A payload field of the contract.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in the payload.
    pub name: &'static str,
    /// Its column in `staging.events`.
    pub column: &'static str,
    /// Its JSON type.
    pub kind: Kind,
    /// Whether an event of this type without it is refused.
    pub required: bool,
}

impl Field {
    /// The largest amount that can be; the unit is the last word of the name. What lies outside is kept in the payload,
    /// not in the column, and marked.
    pub fn most(&self) -> f64 {
        match (self.kind, self.column) {
            (Count, "cpu_ms") => CORES * YEAR_S * 1e3,
            (Count | Amount, column) => match column {
                _ if self.is_share() => 1.0,
                _ if column.ends_with("_ms") => YEAR_S * 1e3,
                _ if column.ends_with("_s") => YEAR_S,
                _ if column.ends_with("_bytes") => BYTES,
                _ if column.ends_with("_cores") => CORES,
                _ => COUNT,
            },
            _ => f64::INFINITY,
        }
    }

    /// The smallest amount that is not 0: what others are divided by must not make of them what cannot be.
    pub fn least(&self) -> f64 {
        match self.column {
            "cpu_limit_cores" | "machine_cpu_cores" => 1e-3,
            "interval_s" => 1e-6,
            _ => 0.0,
        }
    }

    /// Whether 0 says that there is none: engines and their clients write a limit of 0 for no limit, and 0 for a machine
    /// that they do not know. Such a 0 stays in the payload and is in no column.
    pub fn is_none_at_zero(&self) -> bool {
        self.column.contains("_limit_") || self.column.contains("_request_") || self.column.starts_with("machine_")
    }

    /// Whether it is a share of something, from 0 to 1.
    pub fn is_share(&self) -> bool {
        self.column.ends_with("_ratio") || self.column.starts_with("psi_")
    }
}

/// The column of `staging.events` that names the fields whose amounts cannot be.
pub const IMPOSSIBLE: &str = "impossible";

const fn opt(name: &'static str, kind: Kind) -> Field {
    Field { name, column: name, kind, required: false }
}

const fn req(name: &'static str, kind: Kind) -> Field {
    Field { name, column: name, kind, required: true }
}

use Kind::{Amount, Bool, Count, Float, Id, Int, Json, List, Text, Time};

/// What a run used, beside what it was allowed.
const USED: &[Field] = &[
    opt("cpu_ms", Count),
    opt("memory_peak_bytes", Count),
    opt("io_read_bytes", Count),
    opt("io_write_bytes", Count),
    opt("cpu_limit_cores", Amount),
    opt("memory_limit_bytes", Count),
    opt("throttled_ratio", Amount),
    opt("oom_killed", Bool),
    opt("psi_cpu_some", Amount),
    opt("psi_memory_some", Amount),
    opt("psi_io_some", Amount),
    opt("machine_cpu_cores", Amount),
    opt("machine_memory_bytes", Count),
];

const COMMAND: &[Field] = &[
    req("command", Text),
    req("exit_code", Int),
    req("duration_ms", Count),
    opt("kind", Text),
    opt("sha", Text),
    opt("passed", Count),
    opt("failed", Count),
    opt("skipped", Count),
    opt("stdout_sample", Text),
];

/// What a change touched, as far as it is known when a run is created.
const CHURN: &[Field] = &[
    opt("language", Text),
    opt("jobs", Count),
    opt("commits", Count),
    opt("team_size", Count),
    opt("src_churn", Count),
    opt("test_churn", Count),
    opt("files_changed", Count),
    opt("files_added", Count),
    opt("files_deleted", Count),
    opt("files_modified", Count),
    opt("src_files", Count),
    opt("doc_files", Count),
    opt("other_files", Count),
    opt("tests_added", Count),
    opt("tests_deleted", Count),
    opt("commits_on_files_touched", Count),
    opt("sloc", Count),
    opt("test_lines_per_kloc", Amount),
];

const CI_RUN: &[Field] = &[
    req("run_id", Id),
    req("duration_ms", Count),
    opt("sha", Text),
    opt("workflow", Text),
    opt("job", Text),
    opt("result", Text),
    opt("queued_ms", Count),
    opt("runner", Text),
    opt("from_fork", Bool),
    opt("author_association", Text),
    opt("head_repo_id", Id),
];

const USAGE: &[Field] = &[
    req("interval_s", Amount),
    opt("cpu_cores", Amount),
    opt("cpu_limit_cores", Amount),
    opt("throttled_ratio", Amount),
    opt("memory_bytes", Count),
    opt("memory_peak_bytes", Count),
    opt("memory_limit_bytes", Count),
    opt("oom_kills", Count),
    opt("io_read_bytes", Count),
    opt("io_write_bytes", Count),
    opt("net_rx_bytes", Count),
    opt("net_tx_bytes", Count),
    opt("psi_cpu_some", Amount),
    opt("psi_cpu_full", Amount),
    opt("psi_memory_some", Amount),
    opt("psi_memory_full", Amount),
    opt("psi_io_some", Amount),
    opt("psi_io_full", Amount),
    opt("machine_cpu_cores", Amount),
    opt("machine_memory_bytes", Count),
    opt("top_process", Json),
];

const EDIT: &[Field] = &[
    req("file", Text),
    opt("lines_added", Count),
    opt("lines_removed", Count),
    opt("change_summary", Text),
    opt("diff_snippet", Text),
];

const COMMIT: &[Field] = &[
    req("sha", Text),
    opt("message", Text),
    opt("files_changed", Count),
    opt("insertions", Count),
    opt("deletions", Count),
    opt("files", List),
];

const PR: &[Field] = &[
    req("action", Text),
    opt("title", Text),
    opt("labels", List),
    opt("from_fork", Bool),
    opt("author_association", Text),
    opt("sha", Text),
    opt("head_repo_id", Id),
];

const SCHEDULE: &[Field] = &[
    Field { name: "event_id", column: "schedule_event_id", kind: Id, required: true },
    req("event_type", Text),
    req("start_time", Time),
    req("end_time", Time),
    opt("details", Json),
];

const CHANGE: &[Field] = &[
    opt("plan_id", Text),
    opt("item_id", Text),
    opt("action", Text),
    opt("before", Json),
    opt("after", Json),
    opt("result", Text),
];

const DEBUG: &[Field] = &[opt("breakpoints", List), opt("duration_ms", Count)];

const API_CALL: &[Field] = &[
    req("service", Text),
    opt("endpoint", Text),
    opt("status", Id),
    opt("duration_ms", Count),
    opt("stack_group", Text),
];

/// A look at a canary beside its control.
const VERDICT: &[Field] = &[req("plan_id", Text), req("metric", Text), req("verdict", Text)];

const ANNOTATION: &[Field] = &[req("note", Text)];

const KPI: &[Field] = &[req("metric", Text), req("value", Float), opt("unit", Text)];

/// Which version of a component is where: `component`, and `health` of it.
const COMPONENT: &[Field] = &[
    req("component", Text),
    req("version", Text),
    opt("digest", Text),
    Field { name: "group", column: "stack_group", kind: Text, required: false },
    opt("group_digest", Text),
    opt("place", Text),
];

const HEALTH: &[Field] = &[
    req("component", Text),
    req("health", Text),
    opt("version", Text),
    opt("place", Text),
    opt("status", Id),
    opt("duration_ms", Count),
    opt("note", Text),
];

/// The versions of the components that a run met: component → version.
const MET: &[Field] = &[opt("components", Json)];

const FEEDBACK: &[Field] = &[req("item_id", Text), req("verdict", Text), opt("note", Text)];

/// The fields of an event type, in groups; none for a type the contract does not know.
pub fn of(event_type: &str) -> &'static [&'static [Field]] {
    match event_type {
        "edit" => &[EDIT],
        "command" | "test" => &[COMMAND, USED, CHURN, MET],
        "commit" | "push" => &[COMMIT],
        "pr" => &[PR],
        "ci_run" => &[CI_RUN, CHURN, USED, MET],
        "usage" => &[USAGE],
        "debug" => &[DEBUG],
        "api_call" => &[API_CALL],
        "annotation" => &[ANNOTATION],
        "kpi" => &[KPI],
        "schedule" => &[SCHEDULE],
        "feedback" => &[FEEDBACK],
        "component" => &[COMPONENT],
        "health" => &[HEALTH],
        "verdict" => &[VERDICT],
        "adjustment" | "outcome" => &[CHANGE],
        _ => &[],
    }
}

/// The event types of the contract, in the order that breaks ties of `ts` inside a trace: what causes comes before what follows.
pub const TYPES: &[&str] = &[
    "schedule",
    "pr",
    "annotation",
    "edit",
    "debug",
    "api_call",
    "commit",
    "push",
    "command",
    "test",
    "ci_run",
    "usage",
    "kpi",
    "adjustment",
    "component",
    "health",
    "verdict",
    "outcome",
    "feedback",
];

/// Every typed column of `staging.events`, once, in table order.
pub fn columns() -> Vec<(&'static str, Kind)> {
    let mut seen: Vec<(&'static str, Kind)> = Vec::new();
    for field in TYPES.iter().flat_map(|t| of(t)).copied().flatten() {
        if !seen.iter().any(|(column, _)| *column == field.column) {
            seen.push((field.column, field.kind));
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_one_kind_whatever_type_fills_it() {
        let columns = columns();
        for field in TYPES.iter().flat_map(|t| of(t)).copied().flatten() {
            let (_, kind) = columns.iter().find(|(c, _)| *c == field.column).unwrap();
            assert_eq!(*kind, field.kind, "{}", field.column);
        }
    }

    #[test]
    fn the_unit_says_what_can_be() {
        let most = |column: &str| {
            let all = TYPES.iter().flat_map(|t| of(t)).copied().flatten();
            all.into_iter().find(|field| field.column == column).map(Field::most)
        };
        assert_eq!(most("throttled_ratio"), Some(1.0));
        assert_eq!(most("psi_io_full"), Some(1.0));
        assert_eq!(most("cpu_cores"), Some(10_000.0));
        assert_eq!(most("memory_bytes"), Some(1_125_899_906_842_624.0));
        assert_eq!(most("duration_ms"), Some(31_536_000_000.0));
        assert_eq!(most("interval_s"), Some(31_536_000.0));
        assert_eq!(most("oom_kills"), Some(1e12));
        let least = |column: &str| USAGE.iter().find(|field| field.column == column).map(Field::least);
        assert_eq!((least("cpu_limit_cores"), least("cpu_cores")), (Some(0.001), Some(0.0)));
        assert_eq!((most("exit_code"), most("value")), (Some(f64::INFINITY), Some(f64::INFINITY)));
    }

    #[test]
    fn no_column_hides_an_outer_field() {
        for (column, _) in columns() {
            assert!(!crate::columns::EVENT_OUTER.contains(&column), "{column}");
        }
    }
}
