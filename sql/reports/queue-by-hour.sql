-- Queue time by hour: one row per hour of the day (UTC) with CI runs that report how long they waited for a machine.
-- Reads marts.runs, session.clock. A run belongs to the hour in which it began to wait.
-- Parameter repo: text, default null (all)
-- Parameter runner: text, default null (all)
-- Parameter days: integer, default 30
-- chart: columns hour p90_queue_s,p50_queue_s
select
    date_part('hour', started_at - arrow_cast(queued_ms * 1000, 'Duration(Microsecond)')) as hour,
    count(*) as runs,
    round(median(queued_ms) / 1000.0, 1) as p50_queue_s,
    round(percentile_cont(0.9) within group (order by queued_ms) / 1000.0, 1) as p90_queue_s,
    round(max(queued_ms) / 1000.0, 1) as max_queue_s,
    round(sum(queued_ms) / 3600000.0, 2) as total_hours
from marts.runs
where type = 'ci_run' and queued_ms is not null and queued_ms < 31536000000 and not has_jobs
    and (cast($repo as varchar) is null or repo = cast($repo as varchar))
    and (cast($runner as varchar) is null or runner = cast($runner as varchar))
    and to_unixtime((select now from session.clock)) - to_unixtime(started_at) between 0 and cast($days as bigint) * 86400
group by date_part('hour', started_at - arrow_cast(queued_ms * 1000, 'Duration(Microsecond)'))
order by hour
