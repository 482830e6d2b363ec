-- One row per repository and UTC day with runs: the number, duration and contention of the runs.
-- Reads marts.runs. Key: repo, day. A row depends on the runs of its repository and day.
-- Partition: day
-- Follows: marts.runs
select
    coalesce(repo, '') as repo, -- Repository, `owner/name`; empty if unknown.
    cast(started_at as date) as day, -- UTC day on which the runs began. [not null]
    count(*) as runs, -- Number of runs that began on the day. [> 0]
    count(case when failed then 1 end) as failed_runs, -- Number of failed runs. [>= 0]
    count(case when contended then 1 end) as contended_runs, -- Number of contended runs, among the runs with measured causes. [>= 0]
    median(duration_ms) as p50_duration_ms, -- Median duration, ms. [>= 0]
    round(percentile_cont(0.9) within group (order by duration_ms)) as p90_duration_ms, -- 90th percentile of the duration, ms. [>= 0]
    sum(queued_ms) as queued_ms, -- Total time that the runs waited for a machine, ms. [>= 0]
    sum(cast(cpu_ms as double)) / 3600000.0 as core_hours -- CPU time used, core-hours. [>= 0]
from marts.runs
where not has_jobs -- its time is the time of its jobs
group by coalesce(repo, ''), cast(started_at as date)
order by day, repo
