-- One row per resource whose samples report the size of its machine: the largest machine on which the resource ran, for
-- `plan`.
-- Reads staging.events. Key: resource.
select
    coalesce(resource, env) as resource, -- Resource, or else the environment.
    max(machine_cpu_cores) as cpu, -- CPU cores of the machine.
    max(machine_memory_bytes) as memory -- Memory of the machine, bytes.
from staging.events
where type = 'usage' and (machine_cpu_cores > 0 or machine_memory_bytes > 0) and ts <= (select now from session.clock)
group by coalesce(resource, env)
