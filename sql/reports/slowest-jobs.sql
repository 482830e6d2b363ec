-- One row per job with at least five runs: how long it takes, how often it fails or is held up. Slowest first.
-- held_up_pct is of the runs with measured causes, null where there are none. Reads marts.runs.
select
    job_key,
    count(*) as runs,
    round(median(duration_ms) / 1000.0, 1) as p50_s,
    round(percentile_cont(0.9) within group (order by duration_ms) / 1000.0, 1) as p90_s,
    round(100.0 * avg(case when failed then 1.0 else 0.0 end), 1) as failed_pct,
    round(100.0 * avg(case when contended then 1.0 when not contended then 0.0 end), 1) as held_up_pct
from marts.runs
group by job_key
having count(*) >= 5
order by p50_s desc
limit 20
