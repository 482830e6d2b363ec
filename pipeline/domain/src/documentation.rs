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
    head: "One row per accepted event: the fields common to all events, then every payload field of the contract. \
           Key: event_id. Fresh: ts within 7 days.",
    columns: &[
        ("event_id", "128-bit hash of the normalised event, in hexadecimal. The same content has the same hash."),
        ("ts", "When it began, UTC; for a usage sample, the end of its interval."),
        ("event_date", "Day of `ts`, UTC: the partition."),
        ("type", "Event type: edit, command, test, commit, push, pr, ci_run, usage, …; unknown ones are kept."),
        ("repo", "Repository, `owner/name`."),
        ("branch", "Its branch."),
        ("pr_id", "Pull request that it names, `owner/name#number`."),
        ("developer", "Keyed hash of the person."),
        ("env", "Developer environment or stack."),
        ("resource", "Container or service, `env/service`."),
        ("session", "Work session, as named by the sender."),
        ("context", "Outer fields of the event beyond those of the contract, as JSON."),
        ("payload", "The whole payload as JSON, including fields without a column."),
        ("schedule_event_id", "The organisation's own identifier of a scheduled event (`event_id` in its payload)."),
        ("event_type", "Kind of a scheduled event: deployment, maintenance, load."),
        ("start_time", "When a scheduled event begins."),
        ("end_time", "When a scheduled event ends."),
        (
            "details",
            "Further details of a scheduled event, as JSON; `scale` is the expected load as a multiple of the usual load.",
        ),
        ("action", "Action of a pr event (opened, reviewed, merged, …) or of an adjustment."),
        ("title", "Title of the pull request."),
        ("labels", "Labels of the pull request, a JSON array."),
        ("from_fork", "Whether the change comes from a fork."),
        ("author_association", "The author's relation to the repository, in GitHub's words: MEMBER, CONTRIBUTOR, …."),
        ("sha", "Commit; for a push or a pull request, its head at that time."),
        ("head_repo_id", "Identifier of the fork that a pull request or run comes from."),
        ("note", "Text of an annotation, or of a person's verdict."),
        ("file", "Path of the edited file."),
        ("lines_added", "Lines added by an edit."),
        ("lines_removed", "Lines removed by an edit."),
        ("change_summary", "Lines of an edit as text, such as `+25/-10`."),
        ("diff_snippet", "Part of the diff, with secrets masked."),
        ("breakpoints", "Breakpoints of a debugging session, a JSON array."),
        ("duration_ms", "How long it took, ms."),
        ("service", "Service that was called."),
        ("endpoint", "Endpoint that was called."),
        ("status", "Status of the call, such as the HTTP code."),
        ("stack_group", "Version group of a stack, by its name."),
        ("message", "Commit message."),
        ("files_changed", "Files changed by the commit or by the built change."),
        ("insertions", "Lines inserted by the commit."),
        ("deletions", "Lines deleted by the commit."),
        ("files", "Files of the commit, a JSON array."),
        ("command", "Command line, with secrets masked."),
        ("exit_code", "Exit code of the command."),
        ("kind", "Kind of work: build, test, lint, run, other."),
        ("passed", "Tests that passed."),
        ("failed", "Tests that failed."),
        ("skipped", "Tests that were skipped."),
        ("stdout_sample", "Part of the output, with secrets masked."),
        ("cpu_ms", "CPU time used, ms."),
        ("memory_peak_bytes", "Largest memory use, bytes."),
        ("io_read_bytes", "Bytes read from disks."),
        ("io_write_bytes", "Bytes written to disks."),
        ("cpu_limit_cores", "CPU limit, cores."),
        ("memory_limit_bytes", "Memory limit, bytes."),
        ("throttled_ratio", "Share of the CFS periods in which it was throttled, 0 to 1."),
        ("oom_killed", "Whether the kernel killed it for memory."),
        ("psi_cpu_some", "Share of the time some task waited for a processor (PSI), 0 to 1."),
        ("psi_memory_some", "Share of the time some task waited for memory (PSI), 0 to 1."),
        ("psi_io_some", "Share of the time some task waited for a disk (PSI), 0 to 1."),
        ("machine_cpu_cores", "CPU of the machine, cores."),
        ("machine_memory_bytes", "Memory of the machine, bytes."),
        ("language", "Programming language of what was built."),
        ("jobs", "Jobs of the CI run."),
        ("commits", "Commits in the built change."),
        ("team_size", "People who committed in the last months."),
        ("src_churn", "Changed lines of source in the built change."),
        ("test_churn", "Changed lines of tests in the built change."),
        ("files_added", "Files added in the built change."),
        ("files_deleted", "Files deleted in the built change."),
        ("files_modified", "Files modified in the built change."),
        ("src_files", "Source files changed in the built change."),
        ("doc_files", "Documentation files changed in the built change."),
        ("other_files", "Other files changed in the built change."),
        ("tests_added", "Test cases added in the built change."),
        ("tests_deleted", "Test cases deleted in the built change."),
        ("commits_on_files_touched", "Commits of the last months to the files of the change."),
        ("sloc", "Lines of source of the repository."),
        ("test_lines_per_kloc", "Lines of tests per thousand lines of source."),
        ("components", "Components that the run used, with their versions, as JSON."),
        ("run_id", "The CI system's own identifier of the run."),
        ("workflow", "Workflow or pipeline of the CI run."),
        ("job", "Job of the CI run."),
        ("result", "How a run ended (success, failure, error, timeout, cancellation, skip), or an adjustment."),
        ("queued_ms", "Waiting time of the run for a machine, ms."),
        ("runner", "Kind of machine."),
        ("interval_s", "Length of the usage sample, s."),
        ("cpu_cores", "Mean CPU use over the interval, cores."),
        ("memory_bytes", "Memory in use (working set) at the end of the interval, bytes."),
        ("oom_kills", "Processes killed for memory in the interval."),
        ("net_rx_bytes", "Bytes received in the interval."),
        ("net_tx_bytes", "Bytes sent in the interval."),
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
        ("health", "Health of the component."),
        ("verdict", "A person's verdict on an item: helpful, slowed-down, neutral."),
        (
            "impossible",
            "Fields with impossible amounts (a share outside 0 to 1, more than 10,000 cores, 1 PiB, a year, a count \
           above 10^12), separated by commas. They are in the payload and not in their columns.",
        ),
    ],
};

const REJECTS: Documented = Documented {
    table: "staging.rejects",
    head: "One row per rejected line, with the reason. Key: reject_id.",
    columns: &[
        ("reject_id", "Hash of text and reason. The same line with the same reason is stored once."),
        ("source", "Dump that it came from."),
        ("line", "Line number in the dump, from 1; for a document, the number of the element. [>= 0]"),
        (
            "reason",
            "Why, as a word. [one of: not_json, not_an_object, too_long, timestamp, type, missing_field, field_type, format, erased]",
        ),
        ("detail", "Why, as a sentence."),
        ("text", "The first 64 KiB, with people hashed and secrets masked."),
        ("length", "Length of the whole line, bytes. [>= 0]"),
        ("hash", "128 bits of BLAKE3 of the line as it was."),
    ],
};

const ITEMS: Documented = Documented {
    table: "plans.items",
    head: "One row per item of every plan. Key: plan_id, item_id.",
    columns: &[
        ("item_id", "Item: one adjustment of one resource. [not null]"),
        ("plan_id", "Plan it belongs to. [not null]"),
        ("resource", "Container or service, `env/service`."),
        ("action", "Action of the plan: resize, restart, fix_leak, none, …."),
        ("created_at", "When the plan was made."),
        ("before_cpu_cores", "CPU limit before, cores. [>= 0]"),
        ("before_memory_bytes", "Memory limit before, bytes. [>= 0]"),
        ("after_cpu_cores", "CPU limit in the plan, cores. [>= 0]"),
        ("after_memory_bytes", "Memory limit in the plan, bytes. [>= 0]"),
        ("reason", "Why, as a sentence."),
        ("confidence", "Confidence in the plan, 0 to 1. [0 to 1]"),
        ("projected_slack", "Projected share of the limit that stays unused."),
        ("projected_oom_rate", "Projected share of samples above the memory limit. [0 to 1]"),
        ("projected_throttled_rate", "Projected share of samples above the processor limit. [0 to 1]"),
        ("projected_cost", "Projected cost beside the present cost."),
    ],
};

const CLOCK: Documented = Documented {
    table: "session.clock",
    head: "One row: the current time of this session.",
    columns: &[("now", "`--now`, else the time at which the session was opened, UTC.")],
};

const SESSION_TABLES: Documented = Documented {
    table: "session.tables",
    head: "One row per table that is documented. Key: table_name.",
    columns: &[
        ("table_name", "`schema.table`."),
        ("description", "Its grain, what it reads, and what a row depends on."),
        ("key", "The key columns, separated by commas."),
    ],
};

const SESSION_COLUMNS: Documented = Documented {
    table: "session.columns",
    head: "One row per column of every documented table; `describe schema.table` shows the same. Key: table_name, column_name.",
    columns: &[
        ("table_name", "`schema.table`."),
        ("column_name", "The column."),
        ("position", "Its place in the table, from 1."),
        ("description", "Meaning and unit."),
        ("rules", "Constraint that `check` asserts."),
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
