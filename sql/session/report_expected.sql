-- One row per hour of the named resources: what they are expected to use, for `report`.
-- Reads predictions.shadow_inventory. Key: resource_id, at.
-- Parameter names: text
select
    resource_id, -- `env/service`.
    at, -- The hour, UTC.
    lower['cpu_cores'] as cpu_low, -- Lower bound of CPU use, cores.
    upper['cpu_cores'] as cpu_high, -- Upper bound of CPU use, cores.
    lower['memory_bytes'] as memory_low, -- Lower bound of memory use, bytes.
    upper['memory_bytes'] as memory_high -- Upper bound of memory use, bytes.
from predictions.shadow_inventory
where array_has(string_to_array($names, chr(10)), resource_id)
    and at >= (select now from session.clock) - interval '2 days'
order by resource_id, at
