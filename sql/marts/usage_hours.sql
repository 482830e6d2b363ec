-- One row per resource and hour with samples: the resource use, the limits, and whether the work was contended.
-- Reads marts.usage. Key: resource, hour. A sample belongs to the hour in which its interval ended. An interval that
-- ends at midnight belongs to the last hour of the previous day. features.resource_hours contains these hours up to
-- session.clock.
-- Partition: day
-- Follows: marts.usage +1 day
with samples as (
    select
        *,
        date_trunc('hour', ts - interval '1 microsecond') as hour
    from marts.usage
)

select
    resource,
    hour, -- Start of the hour, UTC. [not null]
    count(*) as samples, -- Number of usage samples in the hour. [> 0]
    avg(cpu_cores) as cpu_cores, -- Mean CPU use of the samples, cores.
    max(cpu_cores) as cpu_cores_max, -- Largest CPU use in a single sample, cores.
    max(cpu_limit_cores) as cpu_limit_cores, -- Largest CPU limit of the hour, cores.
    cast(max(coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes, memory_peak_bytes)) as double) as memory_bytes, -- Largest memory use of the hour, bytes.
    cast(max(memory_limit_bytes) as double) as memory_limit_bytes, -- Largest memory limit of the hour, bytes.
    sum(cast(coalesce(io_read_bytes, 0) + coalesce(io_write_bytes, 0) as double))
    / nullif(sum(case when coalesce(io_read_bytes, io_write_bytes) is not null then interval_s end), 0) as io_bytes_per_s, -- Combined disk read and write rate over the samples that report disk I/O, bytes a second.
    sum(cast(coalesce(net_rx_bytes, 0) + coalesce(net_tx_bytes, 0) as double))
    / nullif(sum(case when coalesce(net_rx_bytes, net_tx_bytes) is not null then interval_s end), 0) as net_bytes_per_s, -- Combined network receive and send rate over the samples that report network traffic, bytes a second.
    avg(throttled_ratio) as throttled_ratio, -- Mean share of throttled CFS periods over the samples. [0 to 1]
    sum(coalesce(oom_kills, 0)) as oom_kills, -- Number of OOM kills in the hour. [>= 0]
    -- A process was killed, a quarter of the CFS periods were throttled, work stalled on memory, or the limit was reached.
    coalesce(bool_or(
        coalesce(oom_kills, 0) > 0
        or coalesce(throttled_ratio, 0) >= 0.25
        or coalesce(psi_memory_some, 0) >= 0.1
        or coalesce(cpu_share, 0) >= 0.95
        or coalesce(memory_share, 0) >= 0.98
    ), false) as contended, -- Whether work in this hour was killed or throttled by its limits. [not null]
    cast(hour as date) as day -- UTC day of the hour. [not null]
from samples
group by resource, hour
order by day, resource, hour
