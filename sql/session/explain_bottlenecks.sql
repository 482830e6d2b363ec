-- One row: the minutes in which a resource had each bottleneck, in its last four weeks with data, and its limits and peaks, for
-- `explain`. A sample may show several bottlenecks.
-- Reads marts.usage.
-- Parameter resource: text
with newest as (
    select max(ts) as ts from marts.usage
    where resource = $resource and ts <= (select now from session.clock)
),

samples as (
    select u.*
    from marts.usage u
    cross join newest n
    where u.resource = $resource and u.ts <= n.ts and u.ts > n.ts - interval '28 days'
)

select
    sum(interval_s) / 60.0 as minutes, -- Minutes with samples. [>= 0]
    min(ts) as first, -- The first sample, UTC.
    max(ts) as last, -- The newest sample, UTC.
    sum(case
        when coalesce(throttled_ratio, 0) >= 0.25 or coalesce(cpu_share, 0) >= 0.95 then interval_s
    end) / 60.0 as cpu, -- Throttled in a quarter of the periods, or at the CPU limit.
    sum(case
        when coalesce(oom_kills, 0) > 0 or coalesce(psi_memory_some, 0) >= 0.1 or coalesce(memory_share, 0) >= 0.98 then interval_s
    end) / 60.0 as memory, -- Killed, stalled on memory, or at the memory limit.
    sum(case
        when coalesce(psi_io_some, 0) >= 0.1 and coalesce(psi_memory_some, 0) < 0.1 then interval_s
    end) / 60.0 as io, -- Stalled on a disk, and not for want of memory.
    sum(case
        when coalesce(psi_cpu_some, 0) >= 0.1 and coalesce(throttled_ratio, 0) < 0.25 and coalesce(cpu_share, 0) < 0.95 then interval_s
    end) / 60.0 as waiting, -- Waited for processors below its own limit: others had them.
    sum(coalesce(oom_kills, 0)) as oom_kills, -- Processes killed for memory. [>= 0]
    last_value(cpu_limit_cores order by ts) filter (where cpu_limit_cores is not null) as cpu_limit_cores, -- The newest CPU limit, cores.
    last_value(memory_limit_bytes order by ts) filter (where memory_limit_bytes is not null) as memory_limit_bytes, -- The newest memory limit, bytes.
    max(cpu_cores) as cpu_peak, -- Largest CPU use of a sample, cores.
    max(coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes, memory_peak_bytes)) as memory_peak -- Largest memory use, bytes.
from samples
