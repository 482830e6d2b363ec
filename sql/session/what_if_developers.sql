-- One row: how CPU use of the last 30 days depended on the number of developers, for `what-if --developers`.
-- Reads staging.events, features.resource_hours.
with days as (
    select date_trunc('day', ts) as day, count(distinct developer) as developers
    from staging.events
    where developer is not null and ts <= (select now from session.clock)
        and ts > (select now from session.clock) - interval '30 days'
    group by date_trunc('day', ts)
),

used as (
    select date_trunc('day', hour) as day, sum(cpu_cores) as cores
    from features.resource_hours
    group by date_trunc('day', hour)
)

select
    count(*) as days, -- Number of days with developers and samples. [>= 0]
    max(d.developers) as most, -- Largest number of developers on a day.
    regr_slope(u.cores, cast(d.developers as double)) * avg(cast(d.developers as double)) / nullif(avg(u.cores), 0) as elasticity -- Relative change of CPU use per relative change in the number of developers.
from days d
join used u on d.day = u.day
