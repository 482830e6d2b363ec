-- Most stable and fastest version groups: one row per group with requests in the last week, best first.
-- Reads stack.kpis, stack.verdicts, session.clock. Groups in which the judge last found harm come last. Among the other
-- groups, those within a point of the best success rate come first, the fastest at the top. The bounds hold for 95 % of the
-- groups: a lower bound of the share of requests that succeed, and an upper bound of the mean duration.
-- chart: bar group success_lower
with units as (
    select "group", metric, unit, sum(value * requests) / sum(requests) as value
    from stack.kpis
    where minute >= (select now from session.clock) - interval '7 days'
    group by "group", metric, unit
),

-- Without a single failure, the share of failures is at most three divided by the number of users, in 95 of 100 cases.
bounds as (
    select
        "group",
        metric,
        count(*) as units,
        avg(value) + 1.645 * coalesce(stddev(value), 0.0) / sqrt(count(*)) as upper,
        3.0 / count(*) as least
    from units
    group by "group", metric
),

looks as (
    select canary as "group", verdict, row_number() over (partition by canary, metric order by ts desc) as nth
    from stack.verdicts
),

harmed as (
    select "group" from looks where nth = 1 and verdict = 'fail' group by "group"
),

figures as (
    select
        b."group",
        max(b.units) as units,
        1.0 - least(max(case when b.metric = 'errors' then greatest(b.upper, b.least) end), 1.0) as success_lower,
        max(case when b.metric = 'latency' then b.upper end) as latency_upper_ms,
        count(h."group") > 0 as harm
    from bounds b
    left join harmed h on b."group" = h."group"
    group by b."group"
)

select
    "group", -- Version group.
    units, -- Number of users, or of requests without a user.
    success_lower, -- Lower bound of the share of requests that succeed. [0 to 1]
    latency_upper_ms, -- Upper bound of the mean duration, ms. [>= 0]
    harm -- Whether the judge last found harm in the group.
from figures
order by harm, success_lower < max(success_lower) over (partition by harm) - 0.01, latency_upper_ms, "group"
