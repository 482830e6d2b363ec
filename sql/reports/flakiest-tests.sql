-- Flakiest tests: one row per job or test command that failed and passed on the same commit, worst first.
-- Reads marts.runs, marts.run_labels, session.clock. `flaky_pct` is the share of flaky runs among all runs of the job, and
-- `flaky_of_failed_pct` is their share among its failed runs. `lost_hours` is the total duration of the flaky runs.
-- Parameter repo: text, default null (all)
-- Parameter days: integer, default 30
-- chart: bar job_key flaky_runs
select
    r.job_key,
    count(*) as runs,
    count(case when r.failed then 1 end) as failed_runs,
    count(f.event_id) as flaky_runs,
    round(100.0 * count(f.event_id) / count(*), 1) as flaky_pct,
    round(100.0 * count(f.event_id) / nullif(count(case when r.failed then 1 end), 0), 1) as flaky_of_failed_pct,
    round(sum(case when f.event_id is not null then r.duration_ms end) / 3600000.0, 2) as lost_hours,
    max(case when f.event_id is not null then r.started_at end) as last_at
from marts.runs r
left join (select event_id from marts.run_labels where label = 'flaky') f on r.event_id = f.event_id
where not r.has_jobs
    and (cast($repo as varchar) is null or r.repo = cast($repo as varchar))
    and to_unixtime((select now from session.clock)) - to_unixtime(r.started_at) between 0 and cast($days as bigint) * 86400
group by r.job_key
having count(f.event_id) > 0
order by flaky_runs desc, flaky_pct desc, r.job_key
limit 20
