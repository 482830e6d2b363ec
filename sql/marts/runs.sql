-- One row per run: a command, a test or a CI run, what it used beside what it was allowed, and what held it up.
-- Reads staging.events, traces.links, marts.run_labels. Key: repo, run_id, started_at.
-- A CI run reported several times keeps the report that ended last; a rerun under the same number began at another time
-- and is a run of its own. Jobs of one name that began at once (a matrix) are told apart by their own numbers (job_id in the
-- payload); one that a rerun took over unchanged has a new number and is the same job. Runs of one number in several workflows
-- are several runs. A row depends on the reports of its run, the jobs of its run (repo, run_id) within three days,
-- its links and its labels.
-- Partition: event_date
-- Follows: staging.events ±3 days, traces.links, marts.run_labels
with linked as (
    -- A run without a number that belongs to several pull requests is counted for the first.
    select event_id, min(pr_id) as pr_id
    from traces.links
    where type in ('command', 'test', 'ci_run')
    group by event_id
),

told as (
    select
        *,
        case when type = 'ci_run' then concat_ws('/', run_id, job) else event_id end as own_id,
        -- No duration counts for more than a year: the end must stay a time.
        ts + arrow_cast(least(coalesce(duration_ms, 0), 31536000000) * 1000, 'Duration(Microsecond)') as ended_at,
        coalesce(result, case when exit_code = 0 then 'success' when exit_code <> 0 then 'failure' end) as outcome,
        coalesce(sha, json_get_str(payload, 'sha'), json_get_str(payload, 'head_sha')) as commit_sha,
        case when type = 'ci_run' and job is not null then lpad(json_as_text(payload, 'job_id'), 64, '0') end as job_number,
        case when type = 'ci_run' and job is not null then json_as_text(payload, 'run_attempt') end as attempt,
        -- GitHub tells of a workflow run and of its jobs: the run's time is its jobs' time.
        coalesce(type = 'ci_run' and job is null and max(case when job is not null then 1 end) over (
            partition by coalesce(repo, ''), case when type = 'ci_run' then run_id else event_id end order by ts
            range between interval '3 days' preceding and interval '3 days' following
        ) = 1, false) as has_jobs
    from staging.events
    where type in ('command', 'test', 'ci_run')
),

twins as (
    -- Which of the jobs that look the same it is; null where no number says.
    select
        *,
        case when job_number is not null then concat_ws(' ', duration_ms, outcome, dense_rank() over (
            partition by coalesce(repo, ''), own_id, ts, attempt, duration_ms, outcome order by job_number
        )) end as twin,
        max(job_number) over (partition by coalesce(repo, ''), own_id, ts, workflow) as is_numbered
    from told
),

chosen as (
    select
        *,
        row_number() over (
            partition by coalesce(repo, ''), own_id, ts, workflow, twin
            order by duration_ms desc nulls last, job_number, event_id
        ) as newest
    from twins
    where job_number is not null or is_numbered is null
),

reports as (
    select *, row_number() over (
        partition by coalesce(repo, ''), own_id, ts order by job_number, workflow, event_id
    ) as place
    from chosen
    where newest = 1
),

labels as (
    select
        event_id,
        first_value(label order by rank) as label,
        bool_or(label in ('oom_kill', 'memory_pressure', 'cpu_throttled', 'io_stall', 'noisy_neighbour')) as held_up,
        bool_or(label = 'none') as measured_free,
        bool_or(label = 'flaky') as flaky,
        -- `none` says that its resources were measured: where that was later, contended is known only then.
        greatest(first_value(known_at order by rank), max(case when label = 'none' then known_at end)) as known_at
    from marts.run_labels
    group by event_id
)

select
    case when e.place = 1 then e.own_id else concat(e.own_id, ' #', e.place) end as run_id, -- Of a CI run its number and job (of jobs of one name that began at once from the second on with `#2`), else the event. [not null]
    e.event_id,
    coalesce(e.pr_id, l.pr_id) as pr_id, -- Pull request it ran for: named by it, or the first of those it is linked to.
    e.pr_id is not null as names_pr, -- Whether the run itself names the pull request. [not null]
    e.type,
    coalesce(e.kind, case e.type when 'ci_run' then 'ci' when 'test' then 'test' else 'other' end) as kind, -- Kind of work: build, test, lint, run, ci, other. [not null]
    e.repo,
    e.branch,
    e.developer,
    e.env,
    e.resource,
    concat_ws(' ', e.repo, nullif(concat_ws('/', e.workflow, e.job), ''), left(e.command, 80)) as job_key, -- Repository, workflow, job and command: runs of one key repeat the same work. [not null]
    e.command,
    e.workflow,
    e.job,
    e.runner,
    e.commit_sha as sha, -- Commit it ran on.
    coalesce(e.commit_sha, json_get_str(e.payload, 'commit')) as head_sha, -- The same, or the commit that its files lay on: there may have been changes.
    e.has_jobs, -- It is a whole workflow run whose jobs are rows of their own: sums leave it out. [not null]
    e.ts as started_at, -- When it began, UTC. [not null]
    e.ended_at, -- When it ended, UTC. [not null]
    e.duration_ms, -- How long it took, ms. [>= 0]
    e.queued_ms, -- How long it waited for a machine, ms. [>= 0]
    e.outcome as result, -- How it ended, in OpenTelemetry's words; of a command by its exit code.
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
    coalesce(e.outcome in ('failure', 'error', 'timeout'), false) as failed, -- It did not succeed: failure, error or timeout. [not null]
    b.label, -- What explains how it went, the strongest cause of marts.run_labels; null where nothing is known.
    case when b.held_up then true when b.measured_free then false end as contended, -- Its limits killed it or held it up; null where its resources were not measured.
    coalesce(b.flaky, false) as flaky, -- It failed by itself and passed on the same commit. [not null]
    coalesce(b.known_at, e.ended_at) as known_at, -- From when on label and contended are known: nothing may use them earlier. [not null]
    e.event_date
from reports e
left join labels b on e.event_id = b.event_id
left join linked l on e.event_id = l.event_id
order by event_date, started_at, run_id
