-- One row: the 95th percentile of the duration of builds, tests and CI runs with its 95 % interval, for `report`. The
-- interval is computed from ranks: among n runs, the rank of a quantile has a binomial distribution.
-- Reads marts.runs.
-- Parameter since: timestamp
-- Parameter resource: text
with runs as (
    select
        duration_ms,
        row_number() over (order by duration_ms) as place,
        count(*) over () as n,
        sqrt(0.95 * 0.05 * count(*) over ()) as spread
    from marts.runs
    where not has_jobs and kind in ('build', 'test', 'ci') and duration_ms is not null
        and coalesce(result, '') not in ('cancellation', 'skip')
        and started_at >= $since
        and ended_at <= (select now from session.clock)
        and ($resource = '' or resource = $resource)
)

select
    count(*) as runs, -- Number of runs. [>= 0]
    min(case when place >= 0.95 * n then duration_ms end) as p95, -- 95th percentile, ms.
    min(case when place >= 0.95 * n - 1.96 * spread then duration_ms end) as low, -- Lower bound, ms.
    min(case when place >= 0.95 * n + 1.96 * spread then duration_ms end) as high -- Upper bound, ms.
from runs
