-- One row per usage sample of the current hour up to session.clock. features.current_hours aggregates these samples.
-- Reads marts.usage, session.clock. Key: event_id.
select
    u.event_id,
    u.ts,
    u.resource,
    u.interval_s,
    u.cpu_cores,
    u.cpu_limit_cores,
    u.cpu_share,
    u.throttled_ratio,
    u.memory_bytes,
    u.memory_peak_bytes,
    u.memory_limit_bytes,
    u.memory_share,
    u.oom_kills,
    u.io_read_bytes,
    u.io_write_bytes,
    u.net_rx_bytes,
    u.net_tx_bytes,
    u.psi_memory_some
from marts.usage u
join session.clock c on u.event_date = cast(c.now as date) -- so that only the files of that day are read
where u.ts > date_trunc('hour', c.now) and u.ts <= c.now
