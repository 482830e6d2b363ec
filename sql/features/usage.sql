-- One row per resource and sample up to session.clock, the input of the sizing policies and of their replay.
-- Reads marts.usage, session.clock. Ordered by resource, ts. Two collectors of one resource give two samples with the same
-- time.
select
    resource,
    ts,
    interval_s,
    cpu_cores,
    cpu_limit_cores,
    cast(coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes, memory_peak_bytes) as double) as memory_bytes, -- Working set or peak, whichever is larger, bytes.
    cast(memory_limit_bytes as double) as memory_limit_bytes, -- Memory limit, bytes.
    coalesce(oom_kills, 0) as oom_kills, -- Number of OOM kills in the interval; 0 if not reported. [>= 0]
    throttled_ratio,
    psi_memory_some
from marts.usage
where ts <= (select now from session.clock)
order by resource, ts
