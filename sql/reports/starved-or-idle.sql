-- Which environments are starved or idle: one row per resource, with its use relative to its limits and the share of hours in
-- which it was contended. Starved resources come first, then idle ones.
-- Reads features.resource_hours, session.clock. Starved: the resource had an OOM kill, or was contended in at least one hour
-- of twenty. Idle: the resource never used more than a third of either limit.
-- Parameter env: text, default null (all)
-- Parameter days: integer, default 30
-- chart: bar resource contended_pct
with figures as (
    select
        resource,
        count(*) as hours,
        max(cpu_limit_cores) as cpu_limit,
        round(max(cpu_cores_max), 2) as cpu_peak,
        round(max(memory_limit_bytes) / 1073741824.0, 2) as gib_limit,
        round(max(memory_bytes) / 1073741824.0, 2) as gib_peak,
        round(100.0 * avg(case when contended then 1.0 else 0.0 end), 1) as contended_pct,
        sum(oom_kills) as oom_kills,
        max(cpu_cores_max / nullif(cpu_limit_cores, 0)) as cpu_share,
        max(memory_bytes / nullif(memory_limit_bytes, 0)) as memory_share
    from features.resource_hours
    where (cast($env as varchar) is null or resource = cast($env as varchar)
            or starts_with(resource, concat(cast($env as varchar), '/')))
        and to_unixtime((select now from session.clock)) - to_unixtime(hour) between 0 and cast($days as bigint) * 86400
    group by resource
)

select
    resource,
    case
        when oom_kills > 0 or contended_pct >= 5 then 'starved'
        when greatest(cpu_share, memory_share) < 1.0 / 3 then 'idle'
        when coalesce(cpu_share, memory_share) is null then 'no limits'
        else 'fits'
    end as state,
    hours,
    cpu_limit,
    cpu_peak,
    gib_limit,
    gib_peak,
    contended_pct,
    oom_kills
from figures
order by case state when 'starved' then 1 when 'idle' then 2 else 3 end, contended_pct desc, resource
