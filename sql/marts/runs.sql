-- One row per run (a command, a test or a CI run): the resource use, the limits, and the contention of the run.
-- Reads staging.events, traces.links, marts.run_reports, marts.workflow_runs, marts.run_labels. Key: repo, run_id,
-- started_at.
-- marts.run_reports defines what a run is. A row depends on the report, the links and the labels of its run.
-- Partition: event_date
-- Follows: staging.events, traces.links, marts.run_reports, marts.workflow_runs, marts.run_labels
with linked as (
    -- A run that names no pull request but belongs to several is counted for the first.
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
        -- `none` means that the resource use of the run was measured. If it was measured later, contended is known only from
        -- then on.
        greatest(first_value(known_at order by rank), max(case when label = 'none' then known_at end)) as known_at
    from marts.run_labels
    group by event_id
)

select
    r.run_id, -- Run number and job of a CI run, with the suffix `#2`, … for further jobs with the same name and start time; for any other run, the event. [not null]
    e.event_id,
    coalesce(e.pr_id, l.pr_id) as pr_id, -- Pull request of the run: the pull request that the run names, or else the first one to which the run is linked.
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
    r.sha, -- Commit on which the run was executed.
    r.head_sha, -- Same as sha, or else the commit that was checked out, possibly with uncommitted changes.
    w.event_id is not null as has_jobs, -- Whether the run is a whole workflow run whose jobs are separate rows; sums exclude such runs. [not null]
    e.ts as started_at, -- Start time, UTC. [not null]
    r.ended_at, -- End time, UTC. [not null]
    e.duration_ms, -- Duration, ms. [>= 0]
    e.queued_ms, -- Time that the run waited for a machine, ms. [>= 0]
    r.outcome as result, -- Result as an OpenTelemetry term; for a command, derived from the exit code.
    e.exit_code,
    e.passed,
    e.failed as failed_tests, -- Number of tests that failed. [>= 0]
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
    e.throttled_ratio, -- Share of CFS periods that were throttled. [0 to 1]
    e.oom_killed,
    e.psi_cpu_some, -- Share of the run in which some task waited for a processor (PSI). [0 to 1]
    e.psi_memory_some, -- Share of the run in which some task waited for memory (PSI). [0 to 1]
    e.psi_io_some, -- Share of the run in which some task waited for a disk (PSI). [0 to 1]
    r.failed, -- Whether the run failed (failure, error or timeout). [not null]
    b.label, -- Strongest cause of the result of the run, according to marts.run_labels; null if unknown.
    case when b.was_contended then true when b.measured_free then false end as contended, -- Whether the run was killed or throttled by its limits, or stalled by neighbours; null if its resource use was not measured.
    coalesce(b.flaky, false) as flaky, -- Whether the run is flaky: it failed, and the same work passed on the same commit. [not null]
    coalesce(b.known_at, r.ended_at) as known_at, -- Time at which label and contended became known; neither may be used earlier. [not null]
    e.event_date
from staging.events e
join marts.run_reports r on e.event_id = r.event_id
left join marts.workflow_runs w on e.event_id = w.event_id
left join labels b on e.event_id = b.event_id
left join linked l on e.event_id = l.event_id
where e.type in ('command', 'test', 'ci_run')
order by event_date, started_at, run_id
