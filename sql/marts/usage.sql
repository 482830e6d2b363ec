-- One row per resource and usage sample: what it used beside what it was allowed.
-- Partition: event_date
-- Follows: staging.events
-- Reads staging.events. Key: event_id. ts is the end of the interval. Samples without a resource count for their environment.
select
    event_id,
    ts,
    env,
    coalesce(resource, env) as resource,
    interval_s,
    cpu_cores,
    cpu_limit_cores,
    cpu_cores / nullif(cpu_limit_cores, 0) as cpu_share,
    throttled_ratio,
    memory_bytes,
    memory_peak_bytes,
    memory_limit_bytes,
    cast(greatest(memory_bytes, memory_peak_bytes) as double) / nullif(memory_limit_bytes, 0) as memory_share,
    oom_kills,
    io_read_bytes,
    io_write_bytes,
    net_rx_bytes,
    net_tx_bytes,
    psi_cpu_some,
    psi_memory_some,
    psi_io_some,
    event_date
from staging.events
where type = 'usage' and coalesce(resource, env) is not null
order by event_date, resource, ts
