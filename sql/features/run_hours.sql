-- One row per hour that was over by session.clock and per resource, environment or job with runs that began in that hour: the
-- number of these runs.
-- Reads marts.runs, session.clock. Key: resource, hour. Runs are commands, tests and CI runs that had ended by then. A run
-- counts for the resource that it names, or else for its environment. A CI run that names neither counts for its job. Skipped
-- runs are not counted. A workflow run whose jobs are separate rows is counted only through these jobs. An hour without runs
-- has no row.
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
    resource, -- Resource or environment that the runs name, or else the job key of the CI run. [not null]
    hour, -- Start of the hour, UTC. [not null]
    count(*) as runs, -- Number of runs that began in the hour. [> 0]
    bool_and(is_job) as is_job -- Whether `resource` is a job key of marts.runs instead of a resource. [not null]
from runs
where resource is not null
group by resource, hour
order by resource, hour
