-- One row per run that will likely need a service or package, according to the last `predict` of the last day, for `plan`.
-- Reads predictions.runs. Key: prediction_id.
select
    prediction_id,
    pr_id,
    repo,
    branch,
    job_key,
    resource,
    expected_at,
    likely_needs
from predictions.runs
where likely_needs is not null
    and predicted_at = (select max(l.predicted_at) from predictions.runs l where l.predicted_at <= (select now from session.clock))
    and predicted_at >= (select now from session.clock) - interval '24 hours'
order by expected_at, prediction_id
