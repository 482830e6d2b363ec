-- One row per resource and future hour: the predicted state, its interval, and the confidence.
-- Reads scratch.shadow_inventory (the result of the current run of `shadow`). Key: resource_id, at.
-- The measures are mean CPU use (cores), largest memory use (bytes), disk I/O and network traffic (bytes a second), and the
-- number of runs that begin. A measure that the source did not report is null.
select
    resource_id, -- Container or service, `env/service`; an environment or a job key if only its runs are known. [not null]
    at, -- Start of the future hour, UTC. [not null]
    named_struct(
        'cpu_cores', cpu_cores, 'memory_bytes', memory_bytes, 'io_bytes_per_s', io_bytes_per_s,
        'net_bytes_per_s', net_bytes_per_s, 'runs_per_hour', runs_per_hour
    ) as predicted_state, -- Expected value of each measure in the hour.
    named_struct(
        'cpu_cores', cpu_cores_lower, 'memory_bytes', memory_bytes_lower, 'io_bytes_per_s', io_bytes_per_s_lower,
        'net_bytes_per_s', net_bytes_per_s_lower, 'runs_per_hour', runs_per_hour_lower
    ) as lower, -- Lower bound of each measure.
    named_struct(
        'cpu_cores', cpu_cores_upper, 'memory_bytes', memory_bytes_upper, 'io_bytes_per_s', io_bytes_per_s_upper,
        'net_bytes_per_s', net_bytes_per_s_upper, 'runs_per_hour', runs_per_hour_upper
    ) as upper, -- Upper bound of each measure.
    named_struct(
        'cpu_cores', peak_cpu_cores, 'memory_bytes', peak_memory_bytes, 'io_bytes_per_s', peak_io_bytes_per_s,
        'net_bytes_per_s', peak_net_bytes_per_s, 'runs_per_hour', peak_runs_per_hour
    ) as daily_peak, -- Largest hourly value in the 24-hour day ahead that includes this hour; a limit must cover this value.
    named_struct(
        'cpu_cores', peak_cpu_cores_upper, 'memory_bytes', peak_memory_bytes_upper, 'io_bytes_per_s', peak_io_bytes_per_s_upper,
        'net_bytes_per_s', peak_net_bytes_per_s_upper, 'runs_per_hour', peak_runs_per_hour_upper
    ) as daily_peak_upper, -- Upper bound of daily_peak for each measure.
    coverage, -- Nominal coverage of the interval. [0 to 1]
    confidence_score, -- Confidence in the forecast of CPU and memory (of the other measures if the resource has neither), derived from measured coverage, skill and the age of the data. [0 to 1]
    named_struct(
        'cpu_cores', confidence_cpu_cores, 'memory_bytes', confidence_memory_bytes, 'io_bytes_per_s', confidence_io_bytes_per_s,
        'net_bytes_per_s', confidence_net_bytes_per_s, 'runs_per_hour', confidence_runs_per_hour
    ) as confidences, -- Confidence in each measure, derived from its measured coverage and skill.
    nullif(concat_ws(', ', 'cpu ' || model_cpu_cores, 'memory ' || model_memory_bytes), '') as model, -- Models whose weighted mean forecasts CPU and memory, with `(no better than last week)` if they do not beat repeating the last week.
    named_struct(
        'cpu_cores', model_cpu_cores, 'memory_bytes', model_memory_bytes, 'io_bytes_per_s', model_io_bytes_per_s,
        'net_bytes_per_s', model_net_bytes_per_s, 'runs_per_hour', model_runs_per_hour
    ) as models, -- Models of each measure, in the form of `model`.
    data_watermark, -- Time of the newest sample used.
    last_updated, -- Time at which the forecast was made.
    schedule_event_id -- Scheduled event that affects the hour.
from scratch.shadow_inventory
order by resource_id, at
