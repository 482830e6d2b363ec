//! The names of the files in which floor-2 crates meet: what `lake` writes and `learn` reads, and the way back.
//!
//! A feature file is plain Parquet, written from `sql/features/<name>.sql` at one version of the lake. Times are
//! `timestamp(us, UTC)`, counts 64-bit integers, the rest doubles unless said otherwise.

/// The columns of `staging.events` that every event has, in order; the typed payload columns follow (see [`crate::fields`]).
pub const EVENT_OUTER: &[&str] = &[
    "event_id",
    "ts",
    "event_date",
    "type",
    "repo",
    "branch",
    "pr_id",
    "developer",
    "env",
    "resource",
    "session",
    "context",
    "payload",
];

/// `features.runs`: one row per finished run, ordered by `started_at`, `run_id`. What is known only after the run:
/// `ended_at`, `duration_ms`, `cpu_ms`, `memory_peak_bytes`, `failed`, `result`; everything else is known when it is created.
pub mod runs {
    /// Text, unique inside a repository and start.
    pub const RUN_ID: &str = "run_id";
    /// Text: runs of one key repeat the same work (repository and workflow, job or command).
    pub const JOB_KEY: &str = "job_key";
    /// Text, may be null.
    pub const REPO: &str = "repo";
    /// Timestamp.
    pub const STARTED_AT: &str = "started_at";
    /// Timestamp.
    pub const ENDED_AT: &str = "ended_at";
    /// Integer, milliseconds.
    pub const DURATION_MS: &str = "duration_ms";
    /// Integer, milliseconds of CPU time, null where not measured.
    pub const CPU_MS: &str = "cpu_ms";
    /// Integer, null where not measured.
    pub const MEMORY_PEAK_BYTES: &str = "memory_peak_bytes";
    /// Boolean: the run did not succeed.
    pub const FAILED: &str = "failed";
    /// Text: success, failure, error, timeout, cancellation, skip.
    pub const RESULT: &str = "result";
    /// Text, may be null.
    pub const LANGUAGE: &str = "language";
    /// Text, may be null.
    pub const BRANCH: &str = "branch";
    /// Text: who began it, as a keyed hash; may be null.
    pub const AUTHOR: &str = "author";
    /// Numbers known when the run is created, any of them null.
    pub const KNOWN: &[&str] = &[
        "is_pr",
        "from_fork",
        "by_member",
        "jobs",
        "commits",
        "team_size",
        "src_churn",
        "test_churn",
        "files_changed",
        "files_added",
        "files_deleted",
        "files_modified",
        "src_files",
        "doc_files",
        "other_files",
        "tests_added",
        "tests_deleted",
        "commits_on_files_touched",
        "sloc",
        "test_lines_per_kloc",
        "cpu_limit_cores",
        "memory_limit_bytes",
        "touched_files",
        "touched_lockfiles",
        "touched_manifests",
        "touched_ci_files",
        "touched_sources",
        "touched_tests",
        "touched_docs",
        "touched_kinds",
        "touched_folders",
        "to_main",
    ];
}

/// `features.contention`: one row per piece of work whose outcome is known, ordered by `starts_at`, `unit_id`.
/// A unit is a run, or an hour of a resource. Every column not named here is a numeric feature, known at `starts_at`.
pub mod contention {
    /// Text: `run` or `hour`.
    pub const UNIT: &str = "unit";
    /// Text, unique.
    pub const UNIT_ID: &str = "unit_id";
    /// Text: the resource, or the job key of a run.
    pub const KEY: &str = "key";
    /// Timestamp.
    pub const STARTS_AT: &str = "starts_at";
    /// Timestamp from which the label may be used.
    pub const KNOWN_AT: &str = "known_at";
    /// Boolean: slowed or killed by its limits or neighbours. Null: not yet known, to be predicted.
    pub const LABEL: &str = "label";
    /// Text: `measured` or `feedback`.
    pub const LABEL_SOURCE: &str = "label_source";
    /// Boolean: the label before people's verdicts.
    pub const MEASURED: &str = "measured";
    /// Text, may be null: who made the run; null: nobody but ourselves, a measurement.
    pub const CONTRIBUTOR: &str = "contributor";
    /// Boolean: the run came from a fork, or from one who is no member.
    pub const STRANGER: &str = "stranger";
    /// The columns that are no features.
    pub const NOT_FEATURES: &[&str] =
        &[UNIT, UNIT_ID, KEY, STARTS_AT, KNOWN_AT, LABEL, LABEL_SOURCE, MEASURED, CONTRIBUTOR, STRANGER];
}

/// `features.services`: one row per finished run, ordered by `started_at`, `run_id`. `needs` is known only at `known_at`;
/// everything else when the run begins.
pub mod services {
    /// Text, unique inside a repository and start.
    pub const RUN_ID: &str = "run_id";
    /// Text, may be null.
    pub const REPO: &str = "repo";
    /// Text: runs of one key repeat the same work.
    pub const JOB_KEY: &str = "job_key";
    /// Text, may be null: the pull request it ran for.
    pub const PR_ID: &str = "pr_id";
    /// Text, may be null.
    pub const COMMAND: &str = "command";
    /// Text, may be null.
    pub const WORKFLOW: &str = "workflow";
    /// Text, may be null.
    pub const JOB: &str = "job";
    /// Timestamp.
    pub const STARTED_AT: &str = "started_at";
    /// Timestamp: the end of the run, from which its needs may be used.
    pub const KNOWN_AT: &str = "known_at";
    /// List of text: files that the change had touched.
    pub const PATHS: &str = "paths";
    /// Integer: how many of them were not committed.
    pub const UNCOMMITTED: &str = "uncommitted";
    /// List of text: services, and packages as package URLs without version.
    pub const NEEDS: &str = "needs";
    /// Boolean: somebody looked; without, empty needs mean nothing.
    pub const SEEN: &str = "seen";
    /// Boolean: the run came from a fork, or from one who is no member.
    pub const STRANGER: &str = "stranger";
}

/// `features.usage`: one row per resource and sample, ordered by `resource`, `ts`.
pub mod usage {
    /// Text, `env/service`.
    pub const RESOURCE: &str = "resource";
    /// Timestamp: the end of the interval.
    pub const TS: &str = "ts";
    /// Seconds the sample stands for.
    pub const INTERVAL_S: &str = "interval_s";
    /// Mean cores used in the interval.
    pub const CPU_CORES: &str = "cpu_cores";
    /// Cores allowed, may be null.
    pub const CPU_LIMIT_CORES: &str = "cpu_limit_cores";
    /// Working set or peak of the interval, bytes (double).
    pub const MEMORY_BYTES: &str = "memory_bytes";
    /// Bytes allowed (double), may be null.
    pub const MEMORY_LIMIT_BYTES: &str = "memory_limit_bytes";
    /// Kills in the interval (integer, null as 0).
    pub const OOM_KILLS: &str = "oom_kills";
    /// Share of the interval's CFS periods that were throttled, may be null.
    pub const THROTTLED_RATIO: &str = "throttled_ratio";
    /// Share of the interval in which some task waited for memory (PSI), may be null.
    pub const PSI_MEMORY_SOME: &str = "psi_memory_some";
}

/// `features.resource_hours`: one row per resource and hour with data, ordered by `resource`, `hour`.
pub mod hours {
    /// Text, `env/service`.
    pub const RESOURCE: &str = "resource";
    /// Timestamp: the start of the hour.
    pub const HOUR: &str = "hour";
    /// Mean cores used over the hour.
    pub const CPU_CORES: &str = "cpu_cores";
    /// Largest sample of processor use in the hour, cores.
    pub const CPU_CORES_MAX: &str = "cpu_cores_max";
    /// Largest sample of the hour, bytes (double).
    pub const MEMORY_BYTES: &str = "memory_bytes";
    /// Read and written, bytes a second, may be null.
    pub const IO_BYTES_PER_S: &str = "io_bytes_per_s";
    /// Received and sent, bytes a second, may be null.
    pub const NET_BYTES_PER_S: &str = "net_bytes_per_s";
}

/// `features.run_hours`: one row per resource, environment or job and hour with runs, ordered by `resource`, `hour`.
pub mod run_hours {
    /// Text: `env/service`, an environment, or a job key.
    pub const RESOURCE: &str = "resource";
    /// Timestamp: the start of the hour.
    pub const HOUR: &str = "hour";
    /// Runs that began in it (integer).
    pub const RUNS: &str = "runs";
}

/// `features.measures`: one row per series and moment, ordered by the three names and `at`.
pub mod measures {
    /// Text: `resource`, `kpi` or `job`.
    pub const SUBJECT_KIND: &str = "subject_kind";
    /// Text: the resource, what the KPI is of, or the job key.
    pub const SUBJECT: &str = "subject";
    /// Text: the figure, with its unit.
    pub const MEASURE: &str = "measure";
    /// Timestamp: the start of the hour, or of the run.
    pub const AT: &str = "at";
    /// Double.
    pub const VALUE: &str = "value";
    /// What is allowed of it, may be null.
    pub const LIMIT_VALUE: &str = "limit_value";
}

/// What `learn` writes for `predictions.anomalies`: one row per finding. The first three are those of [`measures`].
pub mod anomalies {
    pub use super::measures::{LIMIT_VALUE, MEASURE, SUBJECT, SUBJECT_KIND, VALUE};
    /// Text: spike, level_shift, drift, leak, silence or peer_outlier.
    pub const ANOMALY: &str = "anomaly";
    /// Text: notice, warning or critical.
    pub const SEVERITY: &str = "severity";
    /// Timestamp: when it began.
    pub const STARTED_AT: &str = "started_at";
    /// Timestamp: when it was over; null: it goes on.
    pub const ENDED_AT: &str = "ended_at";
    /// How far from the usual, over how far it must be to be found.
    pub const SCORE: &str = "score";
    /// What is usual, in the unit of the measure, may be null.
    pub const USUAL: &str = "usual";
    /// Text, what else is known, may be null.
    pub const DETAIL: &str = "detail";
    /// Findings of pure chance per resource and week that the bounds allow.
    pub const BUDGET: &str = "budget";
    /// Timestamp of the search.
    pub const FOUND_AT: &str = "found_at";

    use super::predicted::Kind;
    /// Every column in order; what each means is said in `sql/predictions/anomalies.sql`.
    pub const COLUMNS: &[(&str, Kind)] = &[
        (SUBJECT_KIND, Kind::Text),
        (SUBJECT, Kind::Text),
        (MEASURE, Kind::Text),
        (ANOMALY, Kind::Text),
        (SEVERITY, Kind::Text),
        (STARTED_AT, Kind::Time),
        (ENDED_AT, Kind::Time),
        (SCORE, Kind::Number),
        (VALUE, Kind::Number),
        (USUAL, Kind::Number),
        (LIMIT_VALUE, Kind::Number),
        (DETAIL, Kind::Text),
        (BUDGET, Kind::Number),
        (FOUND_AT, Kind::Time),
    ];
}

/// `features.schedule`: one row per known future or past scheduled event, ordered by `start_time`.
pub mod schedule {
    /// Text, the organisation's own identifier.
    pub const ID: &str = "schedule_event_id";
    /// Text: the resource or environment it touches; null: all.
    pub const RESOURCE: &str = "resource";
    /// Text: deployment, maintenance, load, holiday.
    pub const EVENT_TYPE: &str = "event_type";
    /// Timestamp.
    pub const START_TIME: &str = "start_time";
    /// Timestamp.
    pub const END_TIME: &str = "end_time";
    /// Expected load as a multiple of the usual one, from `details.scale`, may be null.
    pub const SCALE: &str = "scale";
}

/// What `learn` writes for `predictions.shadow_inventory`: one row per resource and future hour. The measures beside CPU and
/// memory have columns of the same kinds: `io_bytes_per_s`, `net_bytes_per_s`, `runs_per_hour`; of each measure there are also
/// `peak_…`, `peak_…_upper`, `confidence_…` and `model_…`.
pub mod shadow {
    /// Text, `env/service`.
    pub const RESOURCE_ID: &str = "resource_id";
    /// Timestamp: the start of the future hour.
    pub const AT: &str = "at";
    /// Mean cores over the hour: centre, then the bounds of the interval.
    pub const CPU_CORES: [&str; 3] = ["cpu_cores", "cpu_cores_lower", "cpu_cores_upper"];
    /// Largest memory of the hour in bytes: centre, then the bounds of the interval.
    pub const MEMORY_BYTES: [&str; 3] = ["memory_bytes", "memory_bytes_lower", "memory_bytes_upper"];
    /// The coverage that the bounds aim at, 0 to 1.
    pub const COVERAGE: &str = "coverage";
    /// Measured, 0 to 1.
    pub const CONFIDENCE: &str = "confidence_score";
    /// Timestamp of the newest sample used.
    pub const DATA_WATERMARK: &str = "data_watermark";
    /// Timestamp of the forecast itself.
    pub const LAST_UPDATED: &str = "last_updated";
    /// Text, null where no scheduled event touches the hour.
    pub const SCHEDULE_EVENT_ID: &str = "schedule_event_id";
}

/// `features.expected_runs`: the columns of [`runs`], null where only the end of a run tells, and these.
pub mod expected {
    /// Text: `pull_request` or `main_branch`.
    pub const REASON: &str = "reason";
    /// Text, null on a main branch.
    pub const PR_ID: &str = "pr_id";
    /// Text, may be null: where the job last ran.
    pub const RESOURCE: &str = "resource";
    /// Timestamp, null where the job ran once only.
    pub const EXPECTED_AT: &str = "expected_at";
}

/// What `learn` writes for `predictions.runs`, and what that table has: one row per prediction of a run.
pub mod predicted {
    /// What a column holds.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Kind {
        /// UTF-8.
        Text,
        /// Microseconds, UTC.
        Time,
        /// Double.
        Number,
        /// 64-bit integer.
        Count,
        /// Boolean.
        Flag,
    }

    /// Every column in order; what each means is said in `sql/predictions/runs.sql`.
    pub const COLUMNS: &[(&str, Kind)] = &[
        ("prediction_id", Kind::Text),
        ("predicted_at", Kind::Time),
        ("expected_at", Kind::Time),
        ("reason", Kind::Text),
        ("pr_id", Kind::Text),
        ("repo", Kind::Text),
        ("job_key", Kind::Text),
        ("branch", Kind::Text),
        ("resource", Kind::Text),
        ("job_runs", Kind::Count),
        ("usual_duration_ms", Kind::Count),
        ("p50_duration_ms", Kind::Count),
        ("p90_duration_ms", Kind::Count),
        ("p99_duration_ms", Kind::Count),
        ("p50_cpu_ms", Kind::Count),
        ("p90_cpu_ms", Kind::Count),
        ("p99_cpu_ms", Kind::Count),
        ("p50_memory_peak_bytes", Kind::Count),
        ("p90_memory_peak_bytes", Kind::Count),
        ("p99_memory_peak_bytes", Kind::Count),
        ("cpu_limit_cores", Kind::Number),
        ("memory_limit_bytes", Kind::Count),
        ("contended_probability", Kind::Number),
        ("likely_cause", Kind::Text),
        ("likely_needs", Kind::Text),
        ("threshold_ms", Kind::Count),
        ("exceeds_threshold", Kind::Flag),
        ("needs_more_cpu", Kind::Flag),
        ("needs_more_memory", Kind::Flag),
        ("coverage90", Kind::Number),
        ("confidence_score", Kind::Number),
        ("model", Kind::Text),
        ("model_watermark", Kind::Time),
        ("model_age_days", Kind::Number),
        ("stale", Kind::Flag),
        ("data_watermark", Kind::Time),
        // Deprecated: the former name of contended_probability, kept for one version.
        ("held_up_probability", Kind::Number),
    ];
}
