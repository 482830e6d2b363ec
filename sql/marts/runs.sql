-- One row per run (a command, a test or a CI run): its use, its limits, and its contention.
-- Reads staging.events, traces.links, marts.run_reports, marts.workflow_runs, marts.run_labels. Key: repo, run_id, started_at.
-- marts.run_reports defines what a run is. A row depends on the report of its run, its links and its labels.
-- Partition: event_date
-- Follows: staging.events, traces.links, marts.run_reports, marts.workflow_runs, marts.run_labels
with linked as (
    -- A run without a number that belongs to several pull requests is counted for the first.
    select event_id, min(pr_id) as pr_id
    from traces.links
    where type in ('command', 'test', 'ci_run')
    group by event_id
),

labels as (
    select
        event_id,
        first_value(label order by rank) as label,
        bool_or(label in ('oom_kill', 'memory_pressure', 'cpu_throttled', 'io_stall', 'noisy_neighbour')) as was_contended,
        bool_or(label = 'none') as measured_free,
        bool_or(label = 'flaky') as flaky,
        -- `none` says that its resources were measured: where that was later, contended is known only then.
        greatest(first_value(known_at order by rank), max(case when label = 'none' then known_at end)) as known_at
    from marts.run_labels
    group by event_id
)

select
    r.run_id, -- Run number and job of a CI run (further jobs of the same name and start end in `#2`, …), else the event. [not null]
    e.event_id,
    coalesce(e.pr_id, l.pr_id) as pr_id, -- Pull request that it ran for: the one that it names, or the first one that it is linked to.
    e.pr_id is not null as names_pr, -- Whether the run itself names the pull request. [not null]
    e.type,
    coalesce(e.kind, case e.type when 'ci_run' then 'ci' when 'test' then 'test' else 'other' end) as kind, -- Kind of work: build, test, lint, run, ci, other. [not null]
    e.repo,
    e.branch,
    e.developer,
    e.env,
    e.resource,
    concat_ws(' ', e.repo, nullif(concat_ws('/', e.workflow, e.job), ''), left(e.command, 80)) as job_key, -- Repository, workflow, job and command. Runs with the same key repeat the same work. [not null]
    e.command,
    e.workflow,
    e.job,
    e.runner,
    r.sha, -- Commit that it ran on.
    r.head_sha, -- The same, or the commit that its files lay on: there may have been changes.
    w.event_id is not null as has_jobs, -- Whether it is a whole workflow run whose jobs are separate rows; sums leave it out. [not null]
    e.ts as started_at, -- When it began, UTC. [not null]
    r.ended_at, -- When it ended, UTC. [not null]
    e.duration_ms, -- How long it took, ms. [>= 0]
    e.queued_ms, -- Waiting time for a machine, ms. [>= 0]
    r.outcome as result, -- Result, in the terms of OpenTelemetry; for a command, derived from its exit code.
    e.exit_code,
    e.passed,
    e.failed as failed_tests, -- Tests that failed. [>= 0]
    e.skipped,
    e.language,
    e.from_fork,
    e.author_association,
    e.jobs,
    e.commits,
    e.team_size,
    e.src_churn,
    e.test_churn,
    e.files_changed,
    e.files_added,
    e.files_deleted,
    e.files_modified,
    e.src_files,
    e.doc_files,
    e.other_files,
    e.tests_added,
    e.tests_deleted,
    e.commits_on_files_touched,
    e.sloc,
    e.test_lines_per_kloc,
    e.cpu_ms,
    e.memory_peak_bytes,
    e.io_read_bytes,
    e.io_write_bytes,
    e.cpu_limit_cores,
    e.memory_limit_bytes,
    e.throttled_ratio, -- Share of the CFS periods in which it was throttled. [0 to 1]
    e.oom_killed,
    e.psi_cpu_some, -- Share of the run in which some task waited for a processor (PSI). [0 to 1]
    e.psi_memory_some, -- Share of the run in which some task waited for memory (PSI). [0 to 1]
    e.psi_io_some, -- Share of the run in which some task waited for a disk (PSI). [0 to 1]
    r.failed, -- Whether it failed: failure, error or timeout. [not null]
    b.label, -- Strongest cause of its result according to marts.run_labels; null if unknown.
    case when b.was_contended then true when b.measured_free then false end as contended, -- Whether it was killed or throttled by its limits, or stalled by neighbours; null if its resources were not measured.
    coalesce(b.flaky, false) as flaky, -- Whether it is flaky: it failed and passed on the same commit. [not null]
    coalesce(b.known_at, r.ended_at) as known_at, -- When label and contended became known; they may not be used earlier. [not null]
    e.event_date
from staging.events e
join marts.run_reports r on e.event_id = r.event_id
left join marts.workflow_runs w on e.event_id = w.event_id
left join labels b on e.event_id = b.event_id
left join linked l on e.event_id = l.event_id
where e.type in ('command', 'test', 'ci_run')
order by event_date, started_at, run_id
