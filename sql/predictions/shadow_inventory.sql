-- One row per resource and future hour: the predicted state, its interval, and how sure we are.
-- Reads scratch.shadow_inventory (what `shadow` computed just now). Key: resource_id, at.
select
    resource_id, -- Container or service, `env/service`. [not null]
    at, -- Start of the future hour, UTC. [not null]
    named_struct('cpu_cores', cpu_cores, 'memory_bytes', memory_bytes) as predicted_state, -- Mean processor use (cores) and largest memory use (bytes) of the hour.
    named_struct('cpu_cores', cpu_cores_lower, 'memory_bytes', memory_bytes_lower) as lower, -- Lower bounds of both.
    named_struct('cpu_cores', cpu_cores_upper, 'memory_bytes', memory_bytes_upper) as upper, -- Upper bounds of both.
    named_struct('cpu_cores', peak_cpu_cores, 'memory_bytes', peak_memory_bytes) as daily_peak, -- Largest hour of the day ahead that the hour is in: cores, bytes. What a limit must hold.
    named_struct('cpu_cores', peak_cpu_cores_upper, 'memory_bytes', peak_memory_bytes_upper) as daily_peak_upper, -- Upper bounds of both.
    coverage, -- Share of cases that the interval is meant to hold. [0 to 1]
    confidence_score, -- How sure the forecast is: measured coverage and skill. [0 to 1]
    concat('cpu ', model_cpu, ', memory ', model_memory) as model, -- What the values are the weighted mean of, per figure, and whether it is any better than last week.
    data_watermark, -- Newest sample that was used.
    last_updated, -- When the forecast was made.
    schedule_event_id -- Scheduled event that touches the hour.
from scratch.shadow_inventory
order by resource_id, at
