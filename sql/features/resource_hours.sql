-- One row per resource and hour with samples up to session.clock: its use, its limits, and whether it was contended.
-- Reads marts.usage_hours, marts.usage, session.clock. Key: resource, hour. Hours that are over are kept; of the one that goes on
-- the samples so far count, in the same way.
with whole as (
    select h.*
    from marts.usage_hours h
    cross join session.clock c
    where h.hour + interval '1 hour' <= c.now
),

going_on as (
    select
        u.*,
        date_trunc('hour', c.now) as hour
    from marts.usage u
    join session.clock c on u.event_date = cast(c.now as date) -- so that only the files of that day are read
    where u.ts > date_trunc('hour', c.now) and u.ts <= c.now
),

hours as (
    select
        resource,
        hour,
        samples,
        cpu_cores,
        cpu_cores_max,
        cpu_limit_cores,
        memory_bytes,
        memory_limit_bytes,
        io_bytes_per_s,
        net_bytes_per_s,
        throttled_ratio,
        oom_kills,
        contended
    from whole

    union all

    select
        resource,
        hour,
        count(*) as samples,
        avg(cpu_cores) as cpu_cores,
        max(cpu_cores) as cpu_cores_max,
        max(cpu_limit_cores) as cpu_limit_cores,
        cast(max(coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes, memory_peak_bytes)) as double) as memory_bytes,
        cast(max(memory_limit_bytes) as double) as memory_limit_bytes,
        sum(cast(coalesce(io_read_bytes, 0) + coalesce(io_write_bytes, 0) as double))
        / nullif(sum(case when coalesce(io_read_bytes, io_write_bytes) is not null then interval_s end), 0) as io_bytes_per_s,
        sum(cast(coalesce(net_rx_bytes, 0) + coalesce(net_tx_bytes, 0) as double))
        / nullif(sum(case when coalesce(net_rx_bytes, net_tx_bytes) is not null then interval_s end), 0) as net_bytes_per_s,
        avg(throttled_ratio) as throttled_ratio,
        sum(coalesce(oom_kills, 0)) as oom_kills,
        coalesce(bool_or(
            coalesce(oom_kills, 0) > 0
            or coalesce(throttled_ratio, 0) >= 0.25
            or coalesce(psi_memory_some, 0) >= 0.1
            or coalesce(cpu_share, 0) >= 0.95
            or coalesce(memory_share, 0) >= 0.98
        ), false) as contended
    from going_on
    group by resource, hour
)

select
    resource,
    hour,
    samples,
    cpu_cores,
    cpu_cores_max,
    cpu_limit_cores,
    memory_bytes,
    memory_limit_bytes,
    io_bytes_per_s,
    net_bytes_per_s,
    throttled_ratio,
    oom_kills,
    contended
from hours
order by resource, hour
