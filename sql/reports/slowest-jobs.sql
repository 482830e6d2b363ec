-- Slowest builds, and why: one row per job with at least five runs, slowest first.
-- Reads marts.runs, session.clock. `contended_pct` is the share of contended runs among the runs with measured causes, or
-- null if there are none. `cause` is the most frequent cause of contention. `slower_pct` shows how much longer the median
-- contended run took than the median run without contention.
-- Parameter repo: text, default null (all)
-- Parameter days: integer, default 30
-- chart: bar job_key p50_s,p90_s
with recent as (
    select job_key, repo, duration_ms, queued_ms, failed, contended, label
    from marts.runs
    where not has_jobs
        and (cast($repo as varchar) is null or repo = cast($repo as varchar))
        and to_unixtime((select now from session.clock)) - to_unixtime(started_at)
            between 0 and cast($days as bigint) * 86400
),

causes as (
    select
        job_key,
        label,
        row_number() over (partition by job_key order by count(*) desc, label) as place
    from recent
    where contended
    group by job_key, label
)

select
    r.job_key,
    count(*) as runs,
    round(median(r.duration_ms) / 1000.0, 1) as p50_s,
    round(percentile_cont(0.9) within group (order by r.duration_ms) / 1000.0, 1) as p90_s,
    round(median(r.queued_ms) / 1000.0, 1) as p50_queue_s,
    round(sum(r.duration_ms) / 3600000.0, 1) as total_hours,
    round(100.0 * avg(case when r.failed then 1.0 else 0.0 end), 1) as failed_pct,
    round(100.0 * avg(case when r.contended then 1.0 when not r.contended then 0.0 end), 1) as contended_pct,
    max(c.label) as cause,
    round(100.0 * median(case when r.contended then r.duration_ms end)
        / nullif(median(case when not r.contended then r.duration_ms end), 0) - 100.0, 1) as slower_pct
from recent r
left join causes c on r.job_key = c.job_key and c.place = 1
group by r.job_key
having count(*) >= 5
order by p50_s desc, r.job_key
limit 20
