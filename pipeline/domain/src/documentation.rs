//! What the columns mean of the tables that no SQL file makes. The others say it behind each column of their `sql/` file.
//!
//! The grammar is the same: a head with the grain, `Key: …` and `Fresh: … within … days`, and for each column a sentence with
//! its unit, then what must hold in brackets (`lake` reads both and checks them).

/// A table and its columns in words.
pub struct Documented {
    /// `schema.table`.
    pub table: &'static str,
    /// Grain, key, freshness.
    pub head: &'static str,
    /// Column and meaning.
    pub columns: &'static [(&'static str, &'static str)],
}

/// Every table that no SQL file makes.
pub const TABLES: &[Documented] = &[EVENTS, REJECTS, ITEMS, CLOCK, SESSION_TABLES, SESSION_COLUMNS];

const EVENTS: Documented = Documented {
    table: "staging.events",
    head: "One row per event that was taken: what every event has, then every payload field of the contract. \
           Key: event_id. Fresh: ts within 7 days.",
    columns: &[
        ("event_id", "128-bit hash of the normalised event, in hexadecimal: the same content has the same one."),
        ("ts", "When it began, UTC; of a usage sample the end of its interval."),
        ("event_date", "Day of `ts`, UTC: the partition."),
        ("type", "Event type: edit, command, test, commit, push, pr, ci_run, usage, …; unknown ones are kept."),
        ("repo", "Repository, `owner/name`."),
        ("branch", "Branch it happened on."),
        ("pr_id", "Pull request it names, `owner/name#number`."),
        ("developer", "Keyed hash of the person."),
        ("env", "Developer environment or stack."),
        ("resource", "Container or service, `env/service`."),
        ("session", "Session of work that the sender names."),
        ("context", "What the event says beside the contract's outer fields, as JSON."),
        ("payload", "The whole payload as JSON: also the fields that have no column of their own."),
        ("schedule_event_id", "The organisation's own identifier of a scheduled event (`event_id` in its payload)."),
        ("event_type", "Kind of a scheduled event: deployment, maintenance, load."),
        ("start_time", "When a scheduled event begins."),
        ("end_time", "When a scheduled event ends."),
        ("details", "What else is known of a scheduled event, as JSON; `scale` is the expected load over the usual."),
        ("action", "Of a pr event what was done to it (opened, reviewed, merged, …); of an adjustment what changed."),
        ("title", "Title of the pull request."),
        ("labels", "Labels of the pull request, a JSON array."),
        ("from_fork", "Whether the change comes from a fork."),
        ("author_association", "The author's relation to the repository, in GitHub's words: MEMBER, CONTRIBUTOR, …."),
        ("sha", "Commit; of a push or a pull request its head then."),
        ("head_repo_id", "The fork's own identifier, where a pull request or run comes from one."),
        ("note", "Text of an annotation, or of a person's verdict."),
        ("file", "Path of the edited file."),
        ("lines_added", "Lines added by an edit."),
        ("lines_removed", "Lines removed by an edit."),
        ("change_summary", "Lines of an edit as text, such as `+25/-10`."),
        ("diff_snippet", "Part of the edit's difference, secrets masked."),
        ("breakpoints", "Breakpoints of a debugging session, a JSON array."),
        ("duration_ms", "How long it took, ms."),
        ("service", "Service that was called."),
        ("endpoint", "Endpoint that was called."),
        ("status", "Status of the call, such as the HTTP code."),
        ("stack_group", "Version group of a stack, by its name."),
        ("message", "Commit message."),
        ("files_changed", "Files changed by the commit, or by the change that a run builds."),
        ("insertions", "Lines inserted by the commit."),
        ("deletions", "Lines deleted by the commit."),
        ("files", "Files of the commit, a JSON array."),
        ("command", "Command line, secrets masked."),
        ("exit_code", "Exit code of the command."),
        ("kind", "Kind of work: build, test, lint, run, other."),
        ("passed", "Tests that passed."),
        ("failed", "Tests that failed."),
        ("skipped", "Tests that were skipped."),
        ("stdout_sample", "Part of the output, secrets masked."),
        ("cpu_ms", "Processor time used, ms."),
        ("memory_peak_bytes", "Largest memory use, bytes."),
        ("io_read_bytes", "Read from disks, bytes."),
        ("io_write_bytes", "Written to disks, bytes."),
        ("cpu_limit_cores", "Processor limit, cores."),
        ("memory_limit_bytes", "Memory limit, bytes."),
        ("throttled_ratio", "Share of the CFS periods in which it was throttled, 0 to 1."),
        ("oom_killed", "Whether the kernel killed it for memory."),
        ("psi_cpu_some", "Share of the time some task waited for a processor (PSI), 0 to 1."),
        ("psi_memory_some", "Share of the time some task waited for memory (PSI), 0 to 1."),
        ("psi_io_some", "Share of the time some task waited for a disk (PSI), 0 to 1."),
        ("machine_cpu_cores", "Processors of the machine it ran on, cores."),
        ("machine_memory_bytes", "Memory of the machine it ran on, bytes."),
        ("language", "Programming language of what was built."),
        ("jobs", "Jobs of the CI run."),
        ("commits", "Commits in the change that a run builds."),
        ("team_size", "People who committed in the last months."),
        ("src_churn", "Lines of source changed by what a run builds."),
        ("test_churn", "Lines of tests changed by what a run builds."),
        ("files_added", "Files added by what a run builds."),
        ("files_deleted", "Files deleted by what a run builds."),
        ("files_modified", "Files modified by what a run builds."),
        ("src_files", "Source files changed by what a run builds."),
        ("doc_files", "Documentation files changed by what a run builds."),
        ("other_files", "Other files changed by what a run builds."),
        ("tests_added", "Test cases added by what a run builds."),
        ("tests_deleted", "Test cases deleted by what a run builds."),
        ("commits_on_files_touched", "Commits of the last months on the files that the change touches."),
        ("sloc", "Lines of source of the repository."),
        ("test_lines_per_kloc", "Lines of tests per thousand lines of source."),
        ("components", "Components that the run met, with their versions, as JSON."),
        ("run_id", "The CI system's own identifier of the run."),
        ("workflow", "Workflow or pipeline of the CI run."),
        ("job", "Job of the CI run."),
        ("result", "How a run ended (success, failure, error, timeout, cancellation, skip), or an adjustment."),
        ("queued_ms", "How long the run waited for a machine, ms."),
        ("runner", "Kind of machine."),
        ("interval_s", "Length of the usage sample, s."),
        ("cpu_cores", "Mean processor use over the interval, cores."),
        ("memory_bytes", "Memory in use (working set) at the end of the interval, bytes."),
        ("oom_kills", "Processes killed for memory in the interval."),
        ("net_rx_bytes", "Received in the interval, bytes."),
        ("net_tx_bytes", "Sent in the interval, bytes."),
        ("psi_cpu_full", "Share of the interval in which all tasks waited for a processor (PSI), 0 to 1."),
        ("psi_memory_full", "Share of the interval in which all tasks waited for memory (PSI), 0 to 1."),
        ("psi_io_full", "Share of the interval in which all tasks waited for a disk (PSI), 0 to 1."),
        ("top_process", "The process that used most, as JSON."),
        ("metric", "Name of a key figure."),
        ("value", "Value of a key figure."),
        ("unit", "Unit of a key figure."),
        ("plan_id", "Plan that an adjustment or outcome belongs to."),
        ("item_id", "Item of a plan: one adjustment of one resource."),
        ("before", "State before an adjustment, as JSON."),
        ("after", "State after an adjustment, as JSON."),
        ("component", "Component of a stack."),
        ("version", "Semantic version of the component."),
        ("digest", "`sha256:` and the hash of what is deployed."),
        ("group_digest", "Digest of the version group."),
        ("place", "Where it is deployed: staging or production."),
        ("health", "How the component is."),
        ("verdict", "What a person said of an item: helpful, slowed-down, neutral."),
        (
            "impossible",
            "Fields whose amounts cannot be (a share outside 0 to 1, more than 10,000 cores, 1 PiB, a year, 10^12 of anything \
             counted), separated by commas: they are in the payload and not in their columns.",
        ),
    ],
};

const REJECTS: Documented = Documented {
    table: "staging.rejects",
    head: "One row per line that could not be taken, and why. Key: reject_id.",
    columns: &[
        ("reject_id", "Hash of text and reason: the same line with the same reason again is the same row."),
        ("source", "Dump it came from."),
        ("line", "Line in the dump, from 1; of a document the element. [>= 0]"),
        (
            "reason",
            "Why, as a word. [one of: not_json, not_an_object, too_long, timestamp, type, missing_field, field_type, format, erased]",
        ),
        ("detail", "Why, as a sentence."),
        ("text", "Its first 64 KiB, people hashed and secrets masked."),
        ("length", "Length of the whole line, bytes. [>= 0]"),
        ("hash", "128 bits of BLAKE3 of the line as it was."),
    ],
};

const ITEMS: Documented = Documented {
    table: "plans.items",
    head: "One row per item of every plan that was made. Key: plan_id, item_id.",
    columns: &[
        ("item_id", "Item: one adjustment of one resource. [not null]"),
        ("plan_id", "Plan it belongs to. [not null]"),
        ("resource", "Container or service, `env/service`."),
        ("action", "What the plan does: resize, restart, fix_leak, none, …."),
        ("created_at", "When the plan was made."),
        ("before_cpu_cores", "Processor limit before, cores. [>= 0]"),
        ("before_memory_bytes", "Memory limit before, bytes. [>= 0]"),
        ("after_cpu_cores", "Processor limit the plan sets, cores. [>= 0]"),
        ("after_memory_bytes", "Memory limit the plan sets, bytes. [>= 0]"),
        ("reason", "Why, as a sentence."),
        ("confidence", "How sure the plan is, 0 to 1. [0 to 1]"),
        ("projected_slack", "Projected share of the limit that stays unused."),
        ("projected_oom_rate", "Projected share of samples above the memory limit. [0 to 1]"),
        ("projected_throttled_rate", "Projected share of samples above the processor limit. [0 to 1]"),
        ("projected_cost", "Projected cost beside today's."),
    ],
};

const CLOCK: Documented = Documented {
    table: "session.clock",
    head: "One row: the time that this session takes for now.",
    columns: &[("now", "`--now`, else the time at which the session was opened, UTC.")],
};

const SESSION_TABLES: Documented = Documented {
    table: "session.tables",
    head: "One row per table that is documented. Key: table_name.",
    columns: &[
        ("table_name", "`schema.table`."),
        ("description", "Its grain, what it reads, and what a row depends on."),
        ("key", "The columns that tell its rows apart, separated by commas."),
    ],
};

const SESSION_COLUMNS: Documented = Documented {
    table: "session.columns",
    head: "One row per column of every documented table; `describe schema.table` shows the same. Key: table_name, column_name.",
    columns: &[
        ("table_name", "`schema.table`."),
        ("column_name", "The column."),
        ("position", "Its place in the table, from 1."),
        ("description", "What it means, with its unit."),
        ("rules", "What must hold of it, as `check` asserts."),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{columns, fields};

    #[test]
    fn every_column_of_an_event_is_documented_once_and_nothing_else_is() {
        let typed = fields::columns().into_iter().map(|(name, _)| name);
        let outer = columns::EVENT_OUTER.iter().copied();
        let want: Vec<&str> = outer.chain(typed).chain([fields::IMPOSSIBLE]).collect();
        let have: Vec<&str> = EVENTS.columns.iter().map(|(name, _)| *name).collect();
        assert_eq!(have, want);
    }
}
