-- One row per prediction of a run: what it was expected to take and need, as of predicted_at, and how sure that is.
-- Reads scratch.runs (what `predict` computed just now), predictions.runs (what it computed before), features.expected_runs.
-- Key: prediction_id.
-- A prediction is told apart by its UTC day, job, and pull request or branch: a later `predict` of the same day replaces
-- it, one of another day leaves it. So what was said stays, to be compared with what came (the report predictions-held).
-- What is expected by the latest `predict`: `where predicted_at = (select max(predicted_at) from predictions.runs)`.
with kept as (
    select *
    from scratch.runs

    union all by name

    select k.*
    from predictions.runs k
    left anti join scratch.runs n on k.prediction_id = n.prediction_id
)

select
    prediction_id, -- UTC day of the prediction, then what was expected: features.expected_runs.run_id of then. [not null]
    predicted_at, -- As of when it was made, UTC: nothing later was used. [not null]
    expected_at,
    reason,
    pr_id,
    repo,
    job_key,
    branch,
    resource,
    job_runs, -- Runs of the job, of measured duration, that had ended: what the prediction stands on. [>= 0]
    usual_duration_ms, -- Median of the job's last five, else of its repository's or language's last, ms: what it would be without a model. [>= 0]
    p50_duration_ms, -- Half of such runs take at most this, ms; null without a build-time model. [>= 0]
    p90_duration_ms, -- Nine in ten take at most this, ms. [>= 0]
    p99_duration_ms, -- Ninety-nine in a hundred take at most this, ms. [>= 0]
    p50_cpu_ms, -- Half use at most this much processor time, ms; null without a demand model that knows CPU. [>= 0]
    p90_cpu_ms, -- Nine in ten use at most this much processor time, ms. [>= 0]
    p99_cpu_ms, -- Ninety-nine in a hundred use at most this much processor time, ms. [>= 0]
    p50_memory_peak_bytes, -- Half need at most this at their peak, bytes; null without a demand model that knows memory. [>= 0]
    p90_memory_peak_bytes, -- Nine in ten need at most this at their peak, bytes. [>= 0]
    p99_memory_peak_bytes, -- Ninety-nine in a hundred need at most this at their peak, bytes. [>= 0]
    cpu_limit_cores, -- Processor limit of the job's last run, cores.
    memory_limit_bytes, -- Memory limit of the job's last run, bytes.
    coalesce(contended_probability, held_up_probability) as contended_probability, -- Probability that it will be contended: killed or throttled by its limits, or stalled by neighbours; null without a contention model. [0 to 1]
    likely_cause, -- Likely cause of contention. [one of: memory, cpu, io, neighbours, unclear]
    likely_needs, -- Services and packages that it will likely need, the most probable first, as a JSON array of text; null without a services model.
    threshold_ms, -- `--threshold` of the prediction, ms. [>= 0]
    exceeds_threshold, -- p90_duration_ms lies above threshold_ms.
    needs_more_cpu, -- p90_cpu_ms is more than cpu_limit_cores deliver in p50_duration_ms.
    needs_more_memory, -- p90_memory_peak_bytes lies above memory_limit_bytes.
    coverage90, -- Share of later runs that took no longer than p90 said, measured when the build-time model was judged. [0 to 1]
    confidence_score, -- How sure: coverage over what is stated (at most 1), times (1 + skill over the best naive) / 2, halved by each week that the data are older than a day. [0 to 1]
    model, -- Models and their versions. [not null]
    model_watermark, -- Newest event that the oldest of these models has seen.
    model_age_days, -- How long before predicted_at that was, days. [>= 0]
    stale, -- Whether a model is more than a week older than the newest run. [not null]
    data_watermark, -- End of the newest run that was known, UTC.
    coalesce(contended_probability, held_up_probability) as held_up_probability -- Deprecated: the former name of contended_probability, kept for one version. [0 to 1]
from kept
order by predicted_at, prediction_id
