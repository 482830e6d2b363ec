-- One row per run: a command, a test or a CI run, what it used beside what it was allowed, and what held it up.
-- Reads staging.events, traces.events. Key: repo, run_id. A CI run reported several times keeps its last report.
with linked as (
    -- A run without a number that belongs to several pull requests is counted for the first.
    select event_id, min(pr_id) as pr_id
    from traces.events
    where link_rule <> 'number' and type in ('command', 'test', 'ci_run')
    group by event_id
),

reports as (
    select
        e.*,
        case when e.type = 'ci_run' then concat_ws('/', e.run_id, e.job) else e.event_id end as own_id,
        e.ts + arrow_cast(coalesce(e.duration_ms, 0) * 1000, 'Duration(Microsecond)') as ended_at
    from staging.events e
    where e.type in ('command', 'test', 'ci_run')
),

latest as (
    select
        *,
        row_number() over (partition by coalesce(repo, ''), own_id order by ended_at desc, event_id) as newest
    from reports
),

runs as (
    select
        r.own_id as run_id,
        r.event_id,
        coalesce(r.pr_id, l.pr_id) as pr_id,
        r.type,
        coalesce(r.kind, case r.type when 'ci_run' then 'ci' when 'test' then 'test' else 'other' end) as kind,
        r.repo,
        r.branch,
        r.developer,
        r.env,
        r.resource,
        concat_ws(' ', r.repo, nullif(concat_ws('/', r.workflow, r.job), ''), left(r.command, 80)) as job_key,
        r.command,
        r.workflow,
        r.job,
        r.runner,
        r.ts as started_at,
        r.ended_at,
        r.duration_ms,
        r.queued_ms,
        coalesce(r.result, case when r.exit_code = 0 then 'success' else 'failure' end) as result,
        r.exit_code,
        r.passed,
        r.failed as failed_tests,
        r.skipped,
        r.language,
        r.from_fork,
        r.author_association,
        r.jobs,
        r.commits,
        r.team_size,
        r.src_churn,
        r.test_churn,
        r.files_changed,
        r.files_added,
        r.files_deleted,
        r.files_modified,
        r.src_files,
        r.doc_files,
        r.other_files,
        r.tests_added,
        r.tests_deleted,
        r.commits_on_files_touched,
        r.sloc,
        r.test_lines_per_kloc,
        r.cpu_ms,
        r.memory_peak_bytes,
        r.io_read_bytes,
        r.io_write_bytes,
        r.cpu_limit_cores,
        r.memory_limit_bytes,
        r.throttled_ratio,
        r.oom_killed,
        r.psi_cpu_some,
        r.psi_memory_some,
        r.psi_io_some
    from latest r
    left join linked l on r.event_id = l.event_id
    where r.newest = 1
)

select
    runs.*,
    runs.result <> 'success' as failed,
    -- What held it up, strongest cause first. Null: nothing was measured, so nothing can be said.
    case
        when oom_killed then 'oom_kill'
        when result = 'timeout' then 'timeout'
        when psi_memory_some >= 0.1 then 'memory_pressure'
        when throttled_ratio >= 0.25 then 'cpu_throttled'
        when psi_io_some >= 0.3 then 'io_stall'
        when coalesce(psi_memory_some, psi_io_some, throttled_ratio) is not null or oom_killed is not null then 'none'
    end as label,
    runs.ended_at as known_at
from runs
order by started_at, run_id
