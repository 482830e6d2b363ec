-- One row per resource whose samples give the size of its machine: the largest machine that it ran on, for `plan`.
-- Reads staging.events. Key: resource.
select
    coalesce(resource, env) as resource, -- The resource, else the environment.
    max(machine_cpu_cores) as cpu, -- Cores of the machine.
    max(machine_memory_bytes) as memory -- Memory of the machine, bytes.
from staging.events
where type = 'usage' and (machine_cpu_cores > 0 or machine_memory_bytes > 0) and ts <= (select now from session.clock)
group by coalesce(resource, env)
