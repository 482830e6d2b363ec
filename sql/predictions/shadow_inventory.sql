-- One row per resource and future hour: the predicted state, its interval, and how sure we are.
-- Reads scratch.shadow_inventory (what `shadow` computed just now). Key: resource_id, at.
select
    resource_id,
    at,
    named_struct('cpu_cores', cpu_cores, 'memory_bytes', memory_bytes) as predicted_state,
    named_struct('cpu_cores', cpu_cores_lower, 'memory_bytes', memory_bytes_lower) as lower,
    named_struct('cpu_cores', cpu_cores_upper, 'memory_bytes', memory_bytes_upper) as upper,
    coverage,
    confidence_score,
    concat('cpu ', model_cpu, ', memory ', model_memory) as model,
    data_watermark,
    last_updated,
    schedule_event_id
from scratch.shadow_inventory
order by resource_id, at
