-- One row per repository and UTC day with runs: how many, how long, how often held up.
-- Reads marts.runs. Key: repo, day.
select
    coalesce(repo, '') as repo,
    cast(started_at as date) as day,
    count(*) as runs,
    count(case when failed then 1 end) as failed_runs,
    count(case when contended then 1 end) as contended_runs,
    median(duration_ms) as p50_duration_ms,
    round(percentile_cont(0.9) within group (order by duration_ms)) as p90_duration_ms,
    sum(queued_ms) as queued_ms,
    sum(cpu_ms) / 3600000.0 as core_hours
from marts.runs
group by coalesce(repo, ''), cast(started_at as date)
order by repo, day
