-- One row per prediction for a pull request, with the run that followed within a day, for `report --pr`. At most fifty
-- predictions are shown, newest first.
-- Reads predictions.runs, marts.runs.
-- Parameter pr: text
select
    p.job_key,
    p.predicted_at,
    p.p50_duration_ms,
    p.p90_duration_ms,
    min(r.duration_ms) filter (where r.started_at > p.predicted_at) as came_duration_ms, -- Duration of the run that followed, ms.
    p.p90_memory_peak_bytes,
    100.0 * p.contended_probability as contended_pct, -- Predicted probability of contention, per cent.
    p.likely_cause,
    p.confidence_score,
    p.model
from predictions.runs p
left join marts.runs r
    on p.job_key = r.job_key and p.pr_id = r.pr_id
        and r.started_at > p.predicted_at and r.started_at <= p.predicted_at + interval '1 day'
where p.pr_id = $pr and p.predicted_at <= (select now from session.clock)
group by
    p.job_key, p.predicted_at, p.p50_duration_ms, p.p90_duration_ms, p.p90_memory_peak_bytes, p.contended_probability, p.likely_cause,
    p.confidence_score, p.model
order by p.predicted_at desc, p.p90_duration_ms desc nulls last
limit 50
