-- One row per resource: the limits of the newest hour that had limits, for `what-if`.
-- Reads features.resource_hours. Key: resource.
select
    resource,
    last_value(cpu_limit_cores order by hour) filter (where cpu_limit_cores is not null) as cpu, -- CPU limit, cores.
    last_value(memory_limit_bytes order by hour) filter (where memory_limit_bytes is not null) as memory -- Memory limit, bytes.
from features.resource_hours
group by resource
