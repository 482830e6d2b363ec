-- One row per resource in which runs are expected, for `plan`: the needs of the most demanding run, according to the last
-- `predict` of the last day. Predictions of stale models are left out.
-- Reads predictions.runs. Key: resource.
select
    resource,
    count(*) as runs, -- Number of expected runs. [> 0]
    last_value(job_key order by p90_memory_peak_bytes nulls first, p90_cpu_ms nulls first, job_key) as job, -- Job of the most demanding run.
    max(p90_cpu_ms / nullif(p50_duration_ms, 0)) as cpu, -- Mean cores that nine in ten runs stay below.
    max(p90_memory_peak_bytes) as memory, -- Memory peak that nine in ten runs stay below, bytes.
    max(p50_cpu_ms / nullif(p50_duration_ms, 0)) as usual_cpu, -- Mean cores that half of the runs stay below.
    max(p50_memory_peak_bytes) as usual_memory -- Memory peak that half of the runs stay below, bytes.
from predictions.runs
where resource is not null and not stale
    and coalesce(p90_memory_peak_bytes, p90_cpu_ms) is not null
    and predicted_at >= (select now from session.clock) - interval '24 hours'
    and predicted_at = (
        select max(l.predicted_at) from predictions.runs l
        where l.predicted_at <= (select now from session.clock)
    )
group by resource
