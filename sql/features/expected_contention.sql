-- One row per run that is expected next, with the columns of features.contention: the limits of the run, and the state of its
-- resource before the current hour. `predict` predicts whether the run will be contended.
-- Reads features.contention, features.expected_runs, features.before_runs. Key: unit_id.
-- In features.contention, every hour of a resource with samples has a row, and so does the hour after the newest of these
-- hours. If the current hour has no row there, the resource has sent no recent samples and its state is unknown.
select
    'run' as unit, -- Kind of unit. [one of: run]
    e.run_id as unit_id, -- Expected run: features.expected_runs.run_id. [not null]
    e.job_key as key, -- Job key of the run.
    e.started_at as starts_at, -- Time of session.clock. Every feature is known by then. [not null]
    arrow_cast(null, 'Timestamp(µs, "UTC")') as known_at, -- Not known yet.
    cast(null as boolean) as label, -- Not known yet.
    'measured' as label_source, -- Always `measured`: there is no verdict yet. [one of: measured]
    cast(null as boolean) as measured, -- Not known yet.
    e.author as contributor, -- Person who starts the run, as a keyed hash.
    e.stranger,
    1.0 as is_run, -- Always 1, because every row is a run.
    cast(date_part('hour', e.started_at) as double) as hour_of_day, -- Hour of session.clock, UTC. [0 to 23]
    cast(date_part('dow', e.started_at) as double) as day_of_week, -- Weekday of session.clock; 0 is Sunday. [0 to 6]
    cast(coalesce(e.src_churn, 0) + coalesce(e.test_churn, 0) as double) as churn, -- Changed lines of source and tests in the change that the run builds.
    e.cpu_limit_cores,
    cast(e.memory_limit_bytes as double) as memory_limit_bytes, -- Memory limit, bytes.
    b.job_runs,
    e.cpu_limit_cores / nullif(b.job_cpu_cores, 0) as cpu_limit_over_job, -- CPU limit divided by the highest mean CPU use among these runs.
    e.memory_limit_bytes / nullif(b.job_memory_bytes, 0) as memory_limit_over_job, -- Memory limit divided by the highest memory peak among these runs.
    b.neighbours,
    b.neighbours_cpu_cores,
    b.neighbours_memory_bytes,
    b.neighbours_io_bytes_per_s,
    h.cpu_share_1h,
    h.cpu_peak_share_1h,
    h.memory_share_1h,
    h.throttled_1h,
    h.contended_1h,
    h.contended_24h_ago,
    h.contended_rate_24h,
    h.cpu_peak_share_24h,
    h.memory_share_24h,
    h.contended_rate_168h
from features.expected_runs e
left join features.before_runs b on b.unit_id = concat('next ', e.job_key)
left join features.contention h
    on h.unit = 'hour' and h.key = e.resource and h.starts_at = date_trunc('hour', e.started_at)
order by e.run_id
