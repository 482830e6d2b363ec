-- One row per resource: how much of its limits it used in the last 30 days, and how often it was held up.
-- Reads features.resource_hours, session.clock.
select
    resource,
    count(*) as hours,
    max(cpu_limit_cores) as cpu_limit_cores,
    round(avg(cpu_cores), 2) as cpu_mean,
    round(max(cpu_cores_max), 2) as cpu_peak,
    round(max(memory_limit_bytes) / 1073741824.0, 2) as memory_limit_gib,
    round(max(memory_bytes) / 1073741824.0, 2) as memory_peak_gib,
    round(100.0 * avg(case when contended then 1.0 else 0.0 end), 1) as contended_hours_pct,
    sum(oom_kills) as oom_kills
from features.resource_hours
where hour > (select now from session.clock) - interval '30 days'
group by resource
order by contended_hours_pct desc, resource
