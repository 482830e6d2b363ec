-- One row per series and time in the ninety days up to session.clock. Anomalies are searched for in these series: hourly
-- figures of resources and KPIs, and the durations of the runs of each job.
-- Reads features.resource_hours, marts.runs, staging.events, session.clock. Key: subject_kind, subject, measure, at. Runs of
-- a job that began in the same microsecond, such as those of a matrix, share one row with their mean duration.
with clock as (
    select
        now,
        now - interval '90 days' as oldest
    from session.clock
),

hours as (
    select h.*
    from features.resource_hours h
    cross join clock
    where h.hour > oldest
),

figures as (
    select 'resource' as subject_kind, resource as subject, 'cpu_cores' as measure, hour as at, cpu_cores as value, cpu_limit_cores as limit_value
    from hours

    union all

    select 'resource' as subject_kind, resource as subject, 'memory_bytes' as measure, hour as at, memory_bytes as value, memory_limit_bytes as limit_value
    from hours

    union all

    select 'resource' as subject_kind, resource as subject, 'io_bytes_per_s' as measure, hour as at, io_bytes_per_s as value, cast(null as double) as limit_value
    from hours

    union all

    select 'resource' as subject_kind, resource as subject, 'net_bytes_per_s' as measure, hour as at, net_bytes_per_s as value, cast(null as double) as limit_value
    from hours

    union all

    select
        'kpi' as subject_kind,
        coalesce(e.resource, e.env, e.repo, 'all') as subject,
        e.metric as measure,
        date_trunc('hour', e.ts) as at,
        avg(cast(e.value as double)) as value,
        cast(null as double) as limit_value
    from staging.events e
    cross join clock
    where e.type = 'kpi' and e.ts <= now and e.ts > oldest
    group by coalesce(e.resource, e.env, e.repo, 'all'), e.metric, date_trunc('hour', e.ts)

    union all

    select
        'job' as subject_kind,
        r.job_key as subject,
        'duration_ms' as measure,
        r.started_at as at,
        avg(cast(r.duration_ms as double)) as value,
        cast(null as double) as limit_value
    from marts.runs r
    cross join clock
    where not r.has_jobs and r.duration_ms > 0 and r.started_at > oldest and r.ended_at <= now
        and coalesce(r.result, '') not in ('cancellation', 'skip')
    group by r.job_key, r.started_at
)

select
    subject_kind, -- Kind of subject. [one of: resource, kpi, job; not null]
    subject, -- Resource, subject of a KPI, or job key. [not null]
    measure, -- Name of the figure, with its unit: cpu_cores, memory_bytes, io_bytes_per_s, net_bytes_per_s, duration_ms, or the name of the KPI. [not null]
    at, -- Start of the hour, or start time of the run, UTC. [not null]
    value, -- Mean over the hour (for memory, the maximum), or duration of the run. [not null]
    limit_value -- Largest limit in the hour, in the unit of the measure; null if there is no limit.
from figures
where value is not null
order by subject_kind, subject, measure, at
