-- One row per hour of the named resources: use and limits, for `report`.
-- Reads features.resource_hours. Key: resource, hour.
-- Parameter since: timestamp
-- Parameter names: text
select
    resource, -- `env/service`.
    hour, -- The hour, UTC.
    cpu_cores_max, -- Largest CPU use, cores. [>= 0]
    cpu_limit_cores, -- CPU limit, cores. [>= 0]
    memory_bytes, -- Memory in use, bytes. [>= 0]
    memory_limit_bytes, -- Memory limit, bytes. [>= 0]
    oom_kills -- Processes killed for memory. [>= 0]
from features.resource_hours
where hour >= $since and array_has(string_to_array($names, chr(10)), resource)
order by resource, hour
