-- One row per resource and usage sample: the resource use and the limits.
-- Reads staging.events. Key: event_id. ts is the end of the interval.
-- Samples without a resource are assigned to their environment. Containers that share a resource have one row each.
-- Impossible amounts, such as more CPU or memory than the limit or the machine allows, are only in staging.events.
-- The first sample in a dump of counters lacks the figures that are computed from a previous sample. If the previous
-- dump ended with the same sample, the sample from that dump is used.
-- Partition: event_date
-- Follows: staging.events
with samples as (
    select
        *,
        coalesce(resource, env) as used_by,
        -- The value is a mean over the interval. CFS bursts and small clock differences add less than half of the limit.
        -- Amounts outside all bounds are marked and have no column value. A limit of 0 means no limit and has no column value
        -- either. Older rows may have such values.
        coalesce(cpu_cores > 1.5 * nullif(cpu_limit_cores, 0) + 0.1, false)
        or coalesce(cpu_cores > 1.1 * nullif(machine_cpu_cores, 0) + 0.1, false)
        or coalesce(cpu_cores > 10000, false) as cpu_impossible,
        -- The kernel charges no more than the limit, but a limit may be lowered between two readings.
        coalesce(memory_bytes > 1.1 * nullif(memory_limit_bytes, 0), false)
        or coalesce(memory_bytes > nullif(machine_memory_bytes, 0), false)
        or coalesce(memory_bytes > 1125899906842624, false) as memory_impossible,
        coalesce(memory_peak_bytes > 1.1 * nullif(memory_limit_bytes, 0), false)
        or coalesce(memory_peak_bytes > nullif(machine_memory_bytes, 0), false)
        or coalesce(memory_peak_bytes > 1125899906842624, false) as peak_impossible
    from staging.events
    where type = 'usage' and coalesce(resource, env) is not null
),

repeated as (
    select p.event_id
    from (select event_id, used_by, ts, memory_bytes from samples where cpu_cores is null and memory_bytes is not null) p
    join (select used_by, ts, memory_bytes from samples where cpu_cores is not null and memory_bytes is not null) w
        on p.used_by = w.used_by and p.ts = w.ts and p.memory_bytes = w.memory_bytes
    group by p.event_id
)

select
    s.event_id,
    s.ts, -- End of the interval, UTC.
    s.env,
    s.used_by as resource, -- Container or service, `env/service`; the environment if none is named. [not null]
    s.interval_s, -- Length of the interval, s. [> 0]
    case when not s.cpu_impossible then s.cpu_cores end as cpu_cores, -- Mean CPU use over the interval, cores. [>= 0]
    s.cpu_limit_cores,
    case when not s.cpu_impossible and s.cpu_limit_cores >= 0.001 then s.cpu_cores / s.cpu_limit_cores end as cpu_share, -- CPU use divided by the CPU limit; may exceed 1 during bursts. [>= 0]
    case when s.throttled_ratio between 0 and 1 then s.throttled_ratio end as throttled_ratio, -- Share of CFS periods that were throttled. [0 to 1]
    case when not s.memory_impossible then s.memory_bytes end as memory_bytes, -- Memory in use (working set) at the end of the interval, bytes. [>= 0]
    case when not s.peak_impossible then s.memory_peak_bytes end as memory_peak_bytes, -- Largest memory use in the interval, bytes. [>= 0]
    s.memory_limit_bytes,
    cast(greatest(
        case when not s.memory_impossible then s.memory_bytes end, case when not s.peak_impossible then s.memory_peak_bytes end
    ) as double) / nullif(s.memory_limit_bytes, 0) as memory_share, -- Largest memory use divided by the memory limit. [>= 0]
    s.oom_kills,
    s.io_read_bytes,
    s.io_write_bytes,
    s.net_rx_bytes,
    s.net_tx_bytes,
    s.psi_cpu_some, -- Share of the interval in which some task waited for a processor (PSI). [0 to 1]
    s.psi_cpu_full, -- Share of the interval in which all tasks waited for a processor (PSI), because other workloads used the processors or the limit was reached. [0 to 1]
    s.psi_memory_some, -- Share of the interval in which some task waited for memory (PSI). [0 to 1]
    s.psi_io_some, -- Share of the interval in which some task waited for a disk (PSI). [0 to 1]
    nullif(concat_ws(
        ',', s.impossible, case when s.cpu_impossible then 'cpu_cores' end,
        case when s.memory_impossible then 'memory_bytes' end, case when s.peak_impossible then 'memory_peak_bytes' end
    ), '') as impossible, -- Fields with impossible amounts, separated by commas; these fields are null in this table.
    s.event_date
-- In this order, the join keeps the few rows in memory and streams the many.
from repeated r
right anti join samples s on r.event_id = s.event_id
order by s.event_date, resource, s.ts
