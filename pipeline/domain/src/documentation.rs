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
        ("ts", "When the event began, UTC; for a usage sample, the end of the sampling interval."),
        ("event_date", "UTC day of `ts`: the partition column."),
        ("type", "Event type: edit, command, test, commit, push, pr, ci_run, usage, …. Unknown types are kept."),
        ("repo", "Repository, `owner/name`."),
        ("branch", "Git branch."),
        ("pr_id", "Pull request that the event names, `owner/name#number`."),
        ("developer", "Developer, as a keyed hash."),
        ("env", "Developer environment or stack."),
        ("resource", "Container or service, `env/service`."),
        ("session", "Work session, as named by the sender."),
        ("context", "Top-level fields of the event that are not part of the contract, as JSON."),
        ("payload", "The whole payload as JSON, including fields without a column."),
        ("schedule_event_id", "Identifier that the organisation gave a scheduled event (`event_id` in the payload)."),
        ("event_type", "Kind of scheduled event: deployment, maintenance, load."),
        ("start_time", "Start time of a scheduled event."),
        ("end_time", "End time of a scheduled event."),
        (
            "details",
            "Further details of a scheduled event, as JSON; `scale` is the expected load as a multiple of the usual load.",
        ),
        ("action", "Action of a pr event (opened, reviewed, merged, …) or of an adjustment."),
        ("title", "Title of the pull request."),
        ("labels", "Labels of the pull request, as a JSON array."),
        ("from_fork", "Whether the change comes from a fork."),
        ("author_association", "Relation of the author to the repository, as a GitHub value: MEMBER, CONTRIBUTOR, …."),
        ("sha", "Commit; for a push or a pull request, the head commit at that time."),
        ("head_repo_id", "Identifier of the fork that a pull request or run comes from."),
        ("note", "Text of an annotation, or of a person's verdict."),
        ("file", "Path of the edited file."),
        ("lines_added", "Lines added by an edit."),
        ("lines_removed", "Lines removed by an edit."),
        ("change_summary", "Line counts of an edit as text, such as `+25/-10`."),
        ("diff_snippet", "Part of the diff, with secrets masked."),
        ("breakpoints", "Breakpoints of a debugging session, as a JSON array."),
        ("duration_ms", "Duration, ms."),
        ("service", "Service that was called."),
        ("endpoint", "Endpoint that was called."),
        ("status", "Status of the call, such as the HTTP status code."),
        ("stack_group", "Name of the version group of a stack."),
        ("message", "Commit message."),
        ("files_changed", "Files changed by the commit or by the change that was built."),
        ("insertions", "Lines inserted by the commit."),
        ("deletions", "Lines deleted by the commit."),
        ("files", "Files of the commit, as a JSON array."),
        ("command", "Command line, with secrets masked."),
        ("exit_code", "Exit code of the command."),
        ("kind", "Kind of work: build, test, lint, run, other."),
        ("passed", "Number of tests that passed."),
        ("failed", "Number of tests that failed."),
        ("skipped", "Number of tests that were skipped."),
        ("stdout_sample", "Part of the output, with secrets masked."),
        ("cpu_ms", "CPU time used, ms."),
        ("memory_peak_bytes", "Largest memory use, bytes."),
        ("io_read_bytes", "Bytes read from disks."),
        ("io_write_bytes", "Bytes written to disks."),
        ("cpu_limit_cores", "CPU limit, cores."),
        ("memory_limit_bytes", "Memory limit, bytes."),
        ("throttled_ratio", "Share of CFS periods that were throttled, 0 to 1."),
        ("oom_killed", "Whether the kernel killed the run because it ran out of memory (OOM kill)."),
        ("psi_cpu_some", "Share of the time in which some task waited for a processor (PSI), 0 to 1."),
        ("psi_memory_some", "Share of the time in which some task waited for memory (PSI), 0 to 1."),
        ("psi_io_some", "Share of the time in which some task waited for a disk (PSI), 0 to 1."),
        ("machine_cpu_cores", "CPU cores of the machine."),
        ("machine_memory_bytes", "Memory of the machine, bytes."),
        ("language", "Programming language of the code."),
        ("jobs", "Number of jobs in the CI run."),
        ("commits", "Number of commits in the change that was built."),
        ("team_size", "Number of people who committed in recent months."),
        ("src_churn", "Changed lines of source code in the change that was built."),
        ("test_churn", "Changed lines of test code in the change that was built."),
        ("files_added", "Files added by the change that was built."),
        ("files_deleted", "Files deleted by the change that was built."),
        ("files_modified", "Files modified by the change that was built."),
        ("src_files", "Source files in the change that was built."),
        ("doc_files", "Documentation files in the change that was built."),
        ("other_files", "Other files in the change that was built."),
        ("tests_added", "Test cases added by the change that was built."),
        ("tests_deleted", "Test cases deleted by the change that was built."),
        ("commits_on_files_touched", "Number of commits in recent months to the files of the change."),
        ("sloc", "Lines of source code in the repository."),
        ("test_lines_per_kloc", "Lines of test code per thousand lines of source code."),
        ("components", "Components that the run used, with their versions, as JSON."),
        ("run_id", "Identifier of the run in the CI system."),
        ("workflow", "Workflow or pipeline of the CI run."),
        ("job", "Job of the CI run."),
        ("result", "Result of a run (success, failure, error, timeout, cancellation, skip) or of an adjustment."),
        ("queued_ms", "Time that the run waited for a machine, ms."),
        ("runner", "Kind of machine that the run used."),
        ("interval_s", "Length of the usage sample, s."),
        ("cpu_cores", "Mean CPU use over the interval, cores."),
        ("memory_bytes", "Memory in use (working set) at the end of the interval, bytes."),
        ("oom_kills", "Number of OOM kills in the interval."),
        ("net_rx_bytes", "Bytes received in the interval."),
        ("net_tx_bytes", "Bytes sent in the interval."),
        ("psi_cpu_full", "Share of the interval in which all tasks waited for a processor (PSI), 0 to 1."),
        ("psi_memory_full", "Share of the interval in which all tasks waited for memory (PSI), 0 to 1."),
        ("psi_io_full", "Share of the interval in which all tasks waited for a disk (PSI), 0 to 1."),
        ("top_process", "Heaviest process of the sample, as JSON."),
        ("metric", "Name of a key performance indicator (KPI)."),
        ("value", "Value of a KPI."),
        ("unit", "Unit of a KPI."),
        ("plan_id", "Plan that an adjustment or outcome belongs to."),
        ("item_id", "Item of a plan: one adjustment of one resource."),
        ("before", "State before an adjustment, as JSON."),
        ("after", "State after an adjustment, as JSON."),
        ("component", "Component of a stack."),
        ("version", "Semantic version of the component."),
        ("digest", "Digest of the deployed component: `sha256:` and the hash."),
        ("group_digest", "Digest of the version group."),
        ("place", "Place of deployment: staging or production."),
        ("health", "Health of the component."),
        ("verdict", "A person's verdict on an item: helpful, slowed-down, neutral."),
        (
            "impossible",
            "Fields with impossible amounts (a share outside 0 to 1; more than 10,000 cores, 1 PiB or a year; a count \
           above 10^12), separated by commas. The amounts are kept in the payload, and the columns are null.",
        ),
    ],
};

const REJECTS: Documented = Documented {
    table: "staging.rejects",
    head: "One row per rejected line, with the reason. Key: reject_id.",
    columns: &[
        ("reject_id", "Hash of the text and the reason. The same line with the same reason is stored once."),
        ("source", "Dump that contains the line."),
        ("line", "Line number in the dump, counted from 1; for a document, the number of the element. [>= 0]"),
        (
            "reason",
            "Reason for the rejection, as a word. [one of: not_json, not_an_object, too_long, timestamp, type, missing_field, field_type, format, erased]",
        ),
        ("detail", "Reason for the rejection, as a sentence."),
        ("text", "First 64 KiB of the line, with people hashed and secrets masked."),
        ("length", "Length of the whole line, bytes. [>= 0]"),
        ("hash", "128 bits of the BLAKE3 hash of the raw line."),
    ],
};

const ITEMS: Documented = Documented {
    table: "plans.items",
    head: "One row per item of every plan. Key: plan_id, item_id.",
    columns: &[
        ("item_id", "Item: one adjustment of one resource. [not null]"),
        ("plan_id", "Plan that contains the item. [not null]"),
        ("resource", "Container or service, `env/service`."),
        ("action", "Planned action: resize, restart, fix_leak, none, …."),
        ("created_at", "Time at which the plan was made."),
        ("before_cpu_cores", "CPU limit before the change, cores. [>= 0]"),
        ("before_memory_bytes", "Memory limit before the change, bytes. [>= 0]"),
        ("after_cpu_cores", "Planned CPU limit, cores. [>= 0]"),
        ("after_memory_bytes", "Planned memory limit, bytes. [>= 0]"),
        ("reason", "Reason for the action, as a sentence."),
        ("confidence", "Confidence in the plan, 0 to 1. [0 to 1]"),
        ("projected_slack", "Projected share of the CPU limit that stays unused."),
        ("projected_oom_rate", "Projected share of samples above the memory limit. [0 to 1]"),
        ("projected_throttled_rate", "Projected share of samples above the CPU limit. [0 to 1]"),
        ("projected_cost", "Projected monthly cost of the planned limits."),
    ],
};

const CLOCK: Documented = Documented {
    table: "session.clock",
    head: "One row: the current time of this session.",
    columns: &[("now", "Time given by `--now`, or else the time at which the session was opened, UTC.")],
};

const SESSION_TABLES: Documented = Documented {
    table: "session.tables",
    head: "One row per documented table. Key: table_name.",
    columns: &[
        ("table_name", "`schema.table`."),
        ("description", "Grain of the table, the tables that it reads, and the data that a row depends on."),
        ("key", "Key columns of the table, separated by commas."),
    ],
};

const SESSION_COLUMNS: Documented = Documented {
    table: "session.columns",
    head: "One row per column of every documented table. `describe schema.table` shows the same text. Key: table_name, column_name.",
    columns: &[
        ("table_name", "`schema.table`."),
        ("column_name", "Name of the column."),
        ("position", "Position of the column in the table, counted from 1."),
        ("description", "Meaning and unit of the column."),
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
