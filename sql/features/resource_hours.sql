-- One row per resource and hour with samples up to session.clock: what it used, what it was allowed, whether it was contended.
-- Reads marts.usage, session.clock. Key: resource, hour. A sample belongs to the hour in which its interval ended.
select
    resource,
    date_trunc('hour', ts - interval '1 microsecond') as hour, -- Start of the hour, UTC. [not null]
    count(*) as samples, -- Usage samples in the hour. [> 0]
    avg(cpu_cores) as cpu_cores, -- Mean of the samples' processor use, cores.
    max(cpu_cores) as cpu_cores_max, -- Largest sample of processor use, cores.
    max(cpu_limit_cores) as cpu_limit_cores, -- Largest processor limit of the hour, cores.
    cast(max(coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes, memory_peak_bytes)) as double) as memory_bytes, -- Largest memory use of the hour, bytes.
    cast(max(memory_limit_bytes) as double) as memory_limit_bytes, -- Largest memory limit of the hour, bytes.
    avg(throttled_ratio) as throttled_ratio, -- Mean of the samples' throttled share of CFS periods. [0 to 1]
    sum(coalesce(oom_kills, 0)) as oom_kills, -- Processes killed for memory in the hour. [>= 0]
    -- Killed, throttled in a quarter of the CFS periods, stalled on memory, or at the limit itself.
    coalesce(bool_or(
        coalesce(oom_kills, 0) > 0
        or coalesce(throttled_ratio, 0) >= 0.25
        or coalesce(psi_memory_some, 0) >= 0.1
        or coalesce(cpu_share, 0) >= 0.95
        or coalesce(memory_share, 0) >= 0.98
    ), false) as contended -- Whether its limits killed or throttled what ran in it. [not null]
from marts.usage
where ts <= (select now from session.clock)
group by resource, date_trunc('hour', ts - interval '1 microsecond')
order by resource, hour
