-- One row per resource and hour in the forecasts of the last day, from the current hour on: CPU and memory, for `what-if`.
-- Reads predictions.shadow_inventory. Key: resource_id, at.
select
    resource_id,
    at,
    schedule_event_id,
    predicted_state['cpu_cores'] as cpu, -- Expected CPU use, cores.
    lower['cpu_cores'] as cpu_lower, -- Lower bound of the CPU use, cores.
    upper['cpu_cores'] as cpu_upper, -- Upper bound of the CPU use, cores.
    daily_peak['cpu_cores'] as cpu_peak, -- Peak CPU use of the day ahead, cores.
    daily_peak_upper['cpu_cores'] as cpu_peak_upper, -- Upper bound of the peak CPU use, cores.
    predicted_state['memory_bytes'] as memory, -- Expected memory use, bytes.
    lower['memory_bytes'] as memory_lower, -- Lower bound of the memory use, bytes.
    upper['memory_bytes'] as memory_upper, -- Upper bound of the memory use, bytes.
    daily_peak['memory_bytes'] as memory_peak, -- Peak memory use of the day ahead, bytes.
    daily_peak_upper['memory_bytes'] as memory_peak_upper -- Upper bound of the peak memory use, bytes.
from predictions.shadow_inventory
where last_updated <= (select now from session.clock)
    and last_updated >= (select now from session.clock) - interval '24 hours'
    and at >= (select now from session.clock) - interval '1 hour'
    and (predicted_state['cpu_cores'] is not null or predicted_state['memory_bytes'] is not null)
order by resource_id, at
