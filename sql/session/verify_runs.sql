-- One row per run of one side of a comparison, for `verify`: the duration of the run, as a multiple of the usual duration of
-- its job in its environment before the change, and whether the run had an OOM kill.
-- Reads marts.runs, plans.outcomes. There are three sides. `candidate` are the runs in the environment since the change.
-- `twins` are runs of the same jobs at that time in other environments whose limits did not change. `before` are the runs in
-- the environment from `from` until the change.
-- Parameter env: text
-- Parameter side: text
-- Parameter applied: timestamp
-- Parameter until: timestamp
-- Parameter from: timestamp
with runs as (
    select env, job_key, started_at, duration_ms, failed, result, label, started_at >= $applied as is_after
    from marts.runs
    where not has_jobs and env is not null and duration_ms > 0
        and started_at >= $from and started_at <= $until
),

usual as (
    select env, job_key, median(cast(duration_ms as double)) as duration_ms
    from runs
    where not is_after and not failed
    group by env, job_key
),

jobs as (
    select distinct job_key from runs where env = cast($env as varchar) and is_after
),

changed as (
    select split_part(resource, '/', 1) as env from plans.outcomes
    where type = 'adjustment' and ts >= $applied - interval '14 days' and ts <= $until and resource is not null
)

select
    r.started_at as ts, -- Start time, UTC.
    case when not r.failed or r.result = 'timeout' then r.duration_ms / u.duration_ms end as duration, -- Multiple of the usual duration; null if the run failed, or if its job always failed before the change. [> 0]
    case when r.label = 'oom_kill' then 1.0 else 0.0 end as killed, -- Whether the run had an OOM kill. [0 to 1]
    coalesce(r.result = 'timeout', false) as censored -- Whether the run would have taken longer, because it timed out.
from runs r
left join usual u on r.env = u.env and r.job_key = u.job_key
where r.job_key in (select job_key from jobs) and (
    (cast($side as varchar) = 'candidate' and r.env = cast($env as varchar) and r.is_after)
    or (cast($side as varchar) = 'twins' and r.is_after and r.env <> cast($env as varchar) and r.env not in (select env from changed))
    or (cast($side as varchar) = 'before' and r.env = cast($env as varchar) and not r.is_after)
)
order by r.started_at
