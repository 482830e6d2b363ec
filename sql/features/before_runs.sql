-- One row per run that had ended by session.clock, and one per job for a run that would begin at session.clock: the past
-- needs of the job, and the activity of the neighbours when the run began.
-- Reads marts.runs, marts.usage, session.clock. Key: unit_id.
-- The need of a job is the highest use among its runs that ended in the 30 days before the run began. The highest use is
-- taken because a contended run uses less than it needs. Neighbours are the other resources of the same environment that were
-- being sampled when the run began.
with runs as (
    select
        concat_ws(' ', repo, run_id, cast(started_at as varchar)) as unit_id,
        job_key,
        env,
        resource,
        started_at,
        ended_at,
        cast(cpu_ms as double) / nullif(duration_ms, 0) as cpu_cores,
        memory_peak_bytes,
        cast(io_read_bytes + io_write_bytes as double) / nullif(duration_ms, 0) * 1000 as io_bytes_per_s
    from marts.runs
    where ended_at <= (select now from session.clock)
),

starts as (
    select unit_id, job_key, env, resource, started_at
    from runs

    union all

    select
        concat('next ', job_key) as unit_id,
        job_key,
        last_value(env order by started_at, unit_id) as env,
        last_value(resource order by started_at, unit_id) as resource,
        (select now from session.clock) as started_at
    from runs
    group by job_key
),

moments as (
    select
        job_key, ended_at as at, 1 as ended, cpu_cores, memory_peak_bytes, io_bytes_per_s,
        cast(null as varchar) as unit_id
    from runs

    union all

    select
        job_key, started_at as at, 0 as ended, null as cpu_cores, null as memory_peak_bytes, null as io_bytes_per_s, unit_id
    from starts
),

needs as (
    select
        unit_id,
        sum(ended) over past as job_runs,
        max(cpu_cores) over past as job_cpu_cores,
        max(memory_peak_bytes) over past as job_memory_bytes,
        max(io_bytes_per_s) over past as job_io_bytes_per_s
    from moments
    window past as (partition by job_key order by at range between interval '30 days' preceding and current row)
),

-- A sample is valid for its resource until half an interval after the next sample should have arrived. Samples are joined by
-- five-minute slots, so that the cost grows with the number of runs and of their samples, and not with the product of the
-- two.
samples as (
    select
        env,
        resource,
        arrow_cast(ts, 'Int64') / 1e6 as seen_s,
        interval_s,
        cpu_cores,
        memory_bytes,
        (coalesce(io_read_bytes, 0) + coalesce(io_write_bytes, 0)) / interval_s as io_bytes_per_s,
        unnest(range(
            cast(arrow_cast(ts, 'Int64') / 300000000 as bigint),
            cast((arrow_cast(ts, 'Int64') + 1.5e6 * interval_s) / 300000000 as bigint) + 1
        )) as five_minutes
    from marts.usage
    where ts <= (select now from session.clock) and interval_s > 0 and interval_s <= 300
),

beside as (
    select
        s.unit_id,
        u.resource,
        last_value(u.cpu_cores order by u.seen_s) as cpu_cores,
        last_value(u.memory_bytes order by u.seen_s) as memory_bytes,
        last_value(u.io_bytes_per_s order by u.seen_s) as io_bytes_per_s
    from starts s
    join samples u on s.env = u.env and arrow_cast(s.started_at, 'Int64') / 300000000 = u.five_minutes
    where s.resource <> u.resource
        and arrow_cast(s.started_at, 'Int64') / 1e6 >= u.seen_s
        and arrow_cast(s.started_at, 'Int64') / 1e6 < u.seen_s + 1.5 * u.interval_s
    group by s.unit_id, u.resource
),

neighbours as (
    select
        unit_id,
        count(*) as neighbours,
        sum(cpu_cores) as cpu_cores,
        sum(memory_bytes) as memory_bytes,
        sum(io_bytes_per_s) as io_bytes_per_s
    from beside
    group by unit_id
),

-- If an environment was never sampled, its neighbours are unknown. Otherwise, no samples mean no neighbours.
sampled as (
    select distinct env
    from samples
)

select
    s.unit_id, -- Run, as in features.contention; for a run that would begin now, `next` and the job. [not null]
    n.job_runs, -- Number of finished runs of the job in the 30 days before. [>= 0]
    n.job_cpu_cores, -- Highest mean CPU use among these runs, cores. [>= 0]
    cast(n.job_memory_bytes as double) as job_memory_bytes, -- Highest memory peak among these runs, bytes. [>= 0]
    n.job_io_bytes_per_s, -- Highest I/O rate among these runs, bytes a second. [>= 0]
    case when d.env is not null then coalesce(b.neighbours, 0) end as neighbours, -- Number of neighbours when the run began; null if its environment was not sampled. [>= 0]
    case when d.env is not null then coalesce(b.cpu_cores, 0) end as neighbours_cpu_cores, -- CPU use of these neighbours, cores. [>= 0]
    case when d.env is not null then cast(coalesce(b.memory_bytes, 0) as double) end as neighbours_memory_bytes, -- Memory use of these neighbours, bytes. [>= 0]
    case when d.env is not null then coalesce(b.io_bytes_per_s, 0) end as neighbours_io_bytes_per_s -- I/O rate of these neighbours, bytes a second. [>= 0]
from starts s
join needs n on s.unit_id = n.unit_id
left join neighbours b on s.unit_id = b.unit_id
left join sampled d on s.env = d.env
order by s.unit_id
