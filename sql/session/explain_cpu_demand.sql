-- One row per throttled sample of a resource: the CPU that the resource would have used without a limit, for the
-- counterfactual of `explain`. This is its use divided by the share of the periods in which it ran.
-- Reads marts.usage.
-- Parameter resource: text
select cpu_cores / greatest(1 - coalesce(throttled_ratio, 0), 0.1) as demand -- Cores. [>= 0]
from marts.usage
where resource = $resource and ts <= (select now from session.clock) and cpu_cores is not null
    and (coalesce(throttled_ratio, 0) >= 0.25 or coalesce(cpu_share, 0) >= 0.95)
order by demand
