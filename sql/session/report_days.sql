-- One row per UTC day of the page, for `report`: contention, OOM kills, and use in relation to limits, for all resources or
-- for one.
-- Reads features.resource_hours. Key: day.
-- Parameter since: timestamp
-- Parameter resource: text
select
    date_trunc('day', hour) as day, -- UTC day.
    count(*) as hours, -- Number of hours with samples, over all resources. [> 0]
    sum(case when contended then 1 else 0 end) as contended, -- Number of contended hours. [>= 0]
    sum(oom_kills) as kills, -- Number of OOM kills. [>= 0]
    sum(case when cpu_limit_cores > 0 then cpu_cores end) as cpu_used, -- CPU use of the hours with a limit, core-hours.
    sum(case when cpu_cores is not null then cpu_limit_cores end) as cpu_held, -- CPU limits of the hours with use, core-hours.
    sum(case when memory_limit_bytes > 0 then memory_bytes end) as memory_used, -- Memory use of the hours with a limit, byte-hours.
    sum(case when memory_bytes is not null then memory_limit_bytes end) as memory_held, -- Memory limits of the hours with use, byte-hours.
    max(hour) as newest -- Newest hour, UTC.
from features.resource_hours
where hour >= $since and ($resource = '' or resource = $resource)
group by date_trunc('day', hour)
order by day
