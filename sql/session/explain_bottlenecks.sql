-- One row for `explain`: the minutes in which a resource had each bottleneck in its last four weeks with data, its limits,
-- and its peaks. A sample may show several bottlenecks.
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
    min(ts) as first, -- Time of the first sample, UTC.
    max(ts) as last, -- Time of the newest sample, UTC.
    sum(case
        when coalesce(throttled_ratio, 0) >= 0.25 or coalesce(cpu_share, 0) >= 0.95 then interval_s
    end) / 60.0 as cpu, -- Minutes in which a quarter of the CFS periods were throttled or the CPU limit was reached.
    sum(case
        when coalesce(oom_kills, 0) > 0 or coalesce(psi_memory_some, 0) >= 0.1 or coalesce(memory_share, 0) >= 0.98 then interval_s
    end) / 60.0 as memory, -- Minutes with an OOM kill, with a stall on memory, or at the memory limit.
    sum(case
        when coalesce(psi_io_some, 0) >= 0.1 and coalesce(psi_memory_some, 0) < 0.1 then interval_s
    end) / 60.0 as io, -- Minutes stalled on a disk, without a shortage of memory.
    sum(case
        when coalesce(psi_cpu_some, 0) >= 0.1 and coalesce(throttled_ratio, 0) < 0.25 and coalesce(cpu_share, 0) < 0.95 then interval_s
    end) / 60.0 as waiting, -- Minutes in which the resource waited for processors below its own limit, because other work used them.
    sum(coalesce(oom_kills, 0)) as oom_kills, -- Number of OOM kills. [>= 0]
    last_value(cpu_limit_cores order by ts) filter (where cpu_limit_cores is not null) as cpu_limit_cores, -- Newest CPU limit, cores.
    last_value(memory_limit_bytes order by ts) filter (where memory_limit_bytes is not null) as memory_limit_bytes, -- Newest memory limit, bytes.
    max(cpu_cores) as cpu_peak, -- Largest CPU use in a single sample, cores.
    max(coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes, memory_peak_bytes)) as memory_peak -- Largest memory use, bytes.
from samples
