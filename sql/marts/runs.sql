-- One row per run: a command, a test or a CI run, what it used beside what it was allowed, and what held it up.
-- Reads staging.events, traces.events. Key: repo, run_id, started_at. A CI run reported several times keeps the report
-- that ended last; a rerun under the same number began at another time and is a run of its own.
with linked as (
    -- A run without a number that belongs to several pull requests is counted for the first.
    select event_id, min(pr_id) as pr_id
    from traces.events
    where link_rule <> 'number' and type in ('command', 'test', 'ci_run')
    group by event_id
),

reports as (
    select
        event_id,
        case when type = 'ci_run' then concat_ws('/', run_id, job) else event_id end as own_id,
        -- No duration counts for more than a year: the end must stay a time.
        ts + arrow_cast(least(coalesce(duration_ms, 0), 31536000000) * 1000, 'Duration(Microsecond)') as ended_at,
        row_number() over (
            partition by coalesce(repo, ''), case when type = 'ci_run' then concat_ws('/', run_id, job) else event_id end, ts
            order by duration_ms desc, event_id
        ) as newest
    from staging.events
    where type in ('command', 'test', 'ci_run')
),

labelled as (
    select
        event_id,
        case when result is not null then result when exit_code = 0 then 'success' when exit_code <> 0 then 'failure' end as result,
        -- What held it up, strongest cause first. Null: nothing was measured, so nothing can be said.
        case
            when oom_killed then 'oom_kill'
            when psi_memory_some >= 0.1 then 'memory_pressure'
            when throttled_ratio >= 0.25 then 'cpu_throttled'
            when psi_io_some >= 0.3 then 'io_stall'
            when result = 'timeout' then 'timeout'
            when coalesce(psi_memory_some, psi_io_some, throttled_ratio) is not null or oom_killed is not null then 'none'
        end as label
    from staging.events
    where type in ('command', 'test', 'ci_run')
)

select
    r.own_id as run_id,
    e.event_id,
    coalesce(e.pr_id, l.pr_id) as pr_id,
    e.pr_id is not null as names_pr,
    e.type,
    coalesce(e.kind, case e.type when 'ci_run' then 'ci' when 'test' then 'test' else 'other' end) as kind,
    e.repo,
    e.branch,
    e.developer,
    e.env,
    e.resource,
    concat_ws(' ', e.repo, nullif(concat_ws('/', e.workflow, e.job), ''), left(e.command, 80)) as job_key,
    e.command,
    e.workflow,
    e.job,
    e.runner,
    e.ts as started_at,
    r.ended_at,
    e.duration_ms,
    e.queued_ms,
    x.result,
    e.exit_code,
    e.passed,
    e.failed as failed_tests,
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
    e.throttled_ratio,
    e.oom_killed,
    e.psi_cpu_some,
    e.psi_memory_some,
    e.psi_io_some,
    coalesce(x.result in ('failure', 'error', 'timeout'), false) as failed,
    x.label,
    x.label in ('oom_kill', 'memory_pressure', 'cpu_throttled', 'io_stall') as contended,
    r.ended_at as known_at
from reports r
join staging.events e on r.event_id = e.event_id
join labelled x on r.event_id = x.event_id
left join linked l on r.event_id = l.event_id
where r.newest = 1
order by started_at, run_id
