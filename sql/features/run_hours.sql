-- One row per resource, environment or job and hour that was over by session.clock in which runs of it began: how many.
-- Reads marts.runs, session.clock. Key: resource, hour. Runs are commands, tests and CI runs that had ended by then. One counts for
-- the resource it names, else for its environment; a CI run that names neither counts for its job. Skipped runs are none, and
-- a workflow run whose jobs are rows of their own is counted by these. An hour without a run has no row.
with runs as (
    select
        coalesce(r.resource, r.env, case when r.type = 'ci_run' then r.job_key end) as resource,
        coalesce(r.resource, r.env) is null as is_job,
        date_trunc('hour', r.started_at) as hour
    from marts.runs r
    cross join session.clock c
    where not r.has_jobs and coalesce(r.result, '') <> 'skip'
        and r.ended_at <= c.now and date_trunc('hour', r.started_at) + interval '1 hour' <= c.now
)

select
    resource, -- Resource or environment that the runs name, else the job key of the CI run. [not null]
    hour, -- Start of the hour, UTC. [not null]
    count(*) as runs, -- Runs that began in it. [> 0]
    bool_and(is_job) as is_job -- Whether it is a job: a key of marts.runs, and no resource. [not null]
from runs
where resource is not null
group by resource, hour
order by resource, hour
