-- How the predictions held: one row per repository and kind of run, which compares the predictions with the runs that
-- followed. Rows with the most runs come first.
-- Reads predictions.runs, marts.runs, session.clock.
-- A prediction is judged by the first run of its job, for its pull request or on its branch, that began within a day after
-- the prediction and had ended by now. A prediction without such a run is counted but not judged. `usual_mae_s` is the error
-- of the median of the last five runs of the job, which the prediction has to beat. Nine runs in ten should lie below p90,
-- and the share of contended runs should match the predicted share.
-- Parameter repo: text, default null (all)
-- Parameter days: integer, default 30
-- chart: table
with said as (
    select
        prediction_id, predicted_at, repo, job_key, pr_id, branch, reason, usual_duration_ms, p50_duration_ms, p90_duration_ms,
        p99_duration_ms, p90_memory_peak_bytes, contended_probability
    from predictions.runs
    where (cast($repo as varchar) is null or repo = cast($repo as varchar))
        and to_unixtime((select now from session.clock)) - to_unixtime(predicted_at) between 0 and cast($days as bigint) * 86400
),

came as (
    select
        s.prediction_id,
        r.duration_ms,
        r.memory_peak_bytes,
        r.contended,
        row_number() over (partition by s.prediction_id order by r.started_at, r.run_id) as place
    from said s
    join marts.runs r on s.repo = r.repo and s.job_key = r.job_key
    where (s.pr_id = r.pr_id or (s.pr_id is null and r.pr_id is null and s.branch = r.branch))
        and r.started_at > s.predicted_at
        and r.started_at <= s.predicted_at + interval '1 day'
        and r.ended_at <= (select now from session.clock)
        and coalesce(r.result, '') not in ('cancellation', 'skip')
)

select
    s.repo,
    s.reason,
    count(*) as predicted,
    count(c.prediction_id) as came,
    round(avg(abs(c.duration_ms - s.p50_duration_ms)) / 1000.0, 1) as mae_s,
    round(avg(abs(c.duration_ms - s.usual_duration_ms)) / 1000.0, 1) as usual_mae_s,
    round(100.0 * avg(case when 4 * abs(c.duration_ms - s.p50_duration_ms) <= c.duration_ms then 1.0 when c.duration_ms > 0 and s.p50_duration_ms is not null then 0.0 end), 1) as within_25pct,
    round(100.0 * avg(case when c.duration_ms <= s.p50_duration_ms then 1.0 when c.duration_ms > s.p50_duration_ms then 0.0 end), 1) as below_p50_pct,
    round(100.0 * avg(case when c.duration_ms <= s.p90_duration_ms then 1.0 when c.duration_ms > s.p90_duration_ms then 0.0 end), 1) as below_p90_pct,
    round(100.0 * avg(case when c.duration_ms <= s.p99_duration_ms then 1.0 when c.duration_ms > s.p99_duration_ms then 0.0 end), 1) as below_p99_pct,
    round(100.0 * avg(case when c.memory_peak_bytes <= s.p90_memory_peak_bytes then 1.0 when c.memory_peak_bytes > s.p90_memory_peak_bytes then 0.0 end), 1) as memory_below_p90_pct,
    round(100.0 * avg(case when c.contended is not null then s.contended_probability end), 1) as contended_predicted_pct,
    round(100.0 * avg(case when s.contended_probability is null then null when c.contended then 1.0 when not c.contended then 0.0 end), 1) as contended_observed_pct
from said s
left join came c on s.prediction_id = c.prediction_id and c.place = 1
group by s.repo, s.reason
order by came desc, s.repo, s.reason
