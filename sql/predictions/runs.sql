-- One row per prediction of a run: the expected duration and needs of the run as of predicted_at, and the confidence.
-- Reads scratch.runs (the result of the current run of `predict`), predictions.runs (earlier results),
-- features.expected_runs.
-- Key: prediction_id.
-- A prediction is identified by its UTC day, its job, and its pull request or branch. A later `predict` on the same day
-- replaces the prediction. A `predict` on another day keeps it, so that predictions can be compared with outcomes (the report
-- predictions-held). The result of the latest `predict` is selected by `where predicted_at = (select max(predicted_at) from
-- predictions.runs)`.
with kept as (
    select *
    from scratch.runs

    union all by name

    select k.*
    from predictions.runs k
    left anti join scratch.runs n on k.prediction_id = n.prediction_id
)

select
    prediction_id, -- UTC day of the prediction, followed by the run_id of the expected run in features.expected_runs. [not null]
    predicted_at, -- Time as of which the prediction was made, UTC. No later data was used. [not null]
    expected_at,
    reason,
    pr_id,
    repo,
    job_key,
    branch,
    resource,
    job_runs, -- Number of finished runs of the job with a measured duration; the prediction is based on these runs. [>= 0]
    usual_duration_ms, -- Median duration of the last five runs of the job, or else of the last runs of the same repository or language, ms. This is the prediction without a model. [>= 0]
    p50_duration_ms, -- Median of the predicted duration, ms; null without a build-time model. [>= 0]
    p90_duration_ms, -- 90th percentile of the predicted duration, ms. [>= 0]
    p99_duration_ms, -- 99th percentile of the predicted duration, ms. [>= 0]
    p50_cpu_ms, -- Median of the predicted CPU time, ms; null without a demand model for CPU. [>= 0]
    p90_cpu_ms, -- 90th percentile of the predicted CPU time, ms. [>= 0]
    p99_cpu_ms, -- 99th percentile of the predicted CPU time, ms. [>= 0]
    p50_memory_peak_bytes, -- Median of the predicted peak memory, bytes; null without a demand model for memory. [>= 0]
    p90_memory_peak_bytes, -- 90th percentile of the predicted peak memory, bytes. [>= 0]
    p99_memory_peak_bytes, -- 99th percentile of the predicted peak memory, bytes. [>= 0]
    cpu_limit_cores, -- CPU limit of the job's last run, cores.
    memory_limit_bytes, -- Memory limit of the job's last run, bytes.
    coalesce(contended_probability, held_up_probability) as contended_probability, -- Probability that the run will be contended: killed or throttled by its limits, or stalled by neighbours; null without a contention model. [0 to 1]
    likely_cause, -- Likely cause of contention. [one of: memory, cpu, io, neighbours, unclear]
    likely_needs, -- Services and packages that the run will likely need, most probable first, as a JSON array of text; null without a services model.
    threshold_ms, -- Value of `--threshold` for the prediction, ms. [>= 0]
    exceeds_threshold, -- Whether p90_duration_ms is above threshold_ms.
    needs_more_cpu, -- Whether p90_cpu_ms is more than cpu_limit_cores can deliver in p50_duration_ms.
    needs_more_memory, -- Whether p90_memory_peak_bytes is above memory_limit_bytes.
    coverage90, -- Share of later runs that took no longer than their predicted p90, as measured in the evaluation of the build-time model. [0 to 1]
    confidence_score, -- Confidence: measured coverage divided by stated coverage (at most 1), times (1 + skill relative to the best naive forecast) / 2, halved for each week by which the data are older than a day. [0 to 1]
    model, -- Models that made the prediction, with their versions. [not null]
    model_watermark, -- Time of the newest event in the training data of the oldest of these models.
    model_age_days, -- Time between model_watermark and predicted_at, days. [>= 0]
    stale, -- Whether a model is more than a week older than the newest run. [not null]
    data_watermark, -- End time of the newest known run, UTC.
    coalesce(contended_probability, held_up_probability) as held_up_probability -- Deprecated former name of contended_probability, kept for one version. [0 to 1]
from kept
order by predicted_at, prediction_id
