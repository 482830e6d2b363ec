-- One row per run: a command, a test or a CI run, what it used beside what it was allowed, and what held it up.
-- Reads staging.events, traces.events, marts.run_labels. Key: repo, run_id, started_at.
-- A CI run reported several times keeps the report that ended last; a rerun under the same number began at another time
-- and is a run of its own. A row depends on the reports of its run, the jobs of its run (repo, run_id), the traces that
-- hold it, and what its labels depend on.
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

outcomes as (
    select
        event_id,
        coalesce(result, case when exit_code = 0 then 'success' when exit_code <> 0 then 'failure' end) as result,
        coalesce(sha, json_get_str(payload, 'sha'), json_get_str(payload, 'head_sha')) as sha,
        -- GitHub tells of a workflow run and of its jobs: the run's time is its jobs' time.
        coalesce(type = 'ci_run' and job is null and bool_or(job is not null) over (
            partition by coalesce(repo, ''), case when type = 'ci_run' then run_id else event_id end
        ), false) as has_jobs
    from staging.events
    where type in ('command', 'test', 'ci_run')
),

labels as (
    select
        event_id,
        first_value(label order by rank) as label,
        bool_or(label in ('oom_kill', 'memory_pressure', 'cpu_throttled', 'io_stall')) as held_up,
        bool_or(label = 'none') as measured_free,
        -- `none` says that its resources were measured: where that was later, contended is known only then.
        greatest(first_value(known_at order by rank), max(case when label = 'none' then known_at end)) as known_at
    from marts.run_labels
    group by event_id
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
    x.sha,
    x.has_jobs,
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
    b.label,
    case when b.held_up then true when b.measured_free then false end as contended,
    coalesce(b.known_at, r.ended_at) as known_at
from reports r
join staging.events e on r.event_id = e.event_id
join outcomes x on r.event_id = x.event_id
left join labels b on r.event_id = b.event_id
left join linked l on r.event_id = l.event_id
where r.newest = 1
order by started_at, run_id
