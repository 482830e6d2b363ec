-- One row per resource and usage sample: what it used beside what it was allowed.
-- Reads staging.events. Key: event_id. ts is the end of the interval.
-- Samples without a resource count for their environment.
-- Partition: event_date
-- Follows: staging.events
select
    event_id,
    ts, -- End of the interval, UTC.
    env,
    coalesce(resource, env) as resource, -- Container or service, `env/service`; the environment where none is named. [not null]
    interval_s, -- Length of the interval, s. [> 0]
    cpu_cores, -- Mean processor use over the interval, cores. [>= 0]
    cpu_limit_cores,
    cpu_cores / nullif(cpu_limit_cores, 0) as cpu_share, -- Processor use over its limit; bursts may exceed it. [>= 0]
    throttled_ratio, -- Share of the CFS periods in which it was throttled. [0 to 1]
    memory_bytes,
    memory_peak_bytes,
    memory_limit_bytes,
    cast(greatest(memory_bytes, memory_peak_bytes) as double) / nullif(memory_limit_bytes, 0) as memory_share, -- Largest memory use over its limit. [>= 0]
    oom_kills,
    io_read_bytes,
    io_write_bytes,
    net_rx_bytes,
    net_tx_bytes,
    psi_cpu_some, -- Share of the interval in which some task waited for a processor (PSI). [0 to 1]
    psi_cpu_full, -- Share of the interval in which all tasks waited for a processor: others had it, or the limit was used up (PSI). [0 to 1]
    psi_memory_some, -- Share of the interval in which some task waited for memory (PSI). [0 to 1]
    psi_io_some, -- Share of the interval in which some task waited for a disk (PSI). [0 to 1]
    event_date
from staging.events
where type = 'usage' and coalesce(resource, env) is not null
order by event_date, resource, ts
