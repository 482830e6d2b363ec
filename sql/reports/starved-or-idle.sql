-- One row per resource: how much of its limits it used in the last 30 days, the share of hours (%) in which it was held
-- up, and how often it was killed. Reads features.resource_hours, session.clock.
select
    resource,
    max(cpu_limit_cores) as cpu_limit,
    round(max(cpu_cores_max), 2) as cpu_peak,
    round(max(memory_limit_bytes) / 1073741824.0, 2) as gib_limit,
    round(max(memory_bytes) / 1073741824.0, 2) as gib_peak,
    round(100.0 * avg(case when contended then 1.0 else 0.0 end), 1) as held_up,
    sum(oom_kills) as oom_kills
from features.resource_hours
where hour > (select now from session.clock) - interval '30 days'
group by resource
order by held_up desc, resource
