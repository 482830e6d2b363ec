-- One row per resource with a forecast of the last day: the expectation of the shadow inventory from the current hour on, for
-- `plan`.
-- Reads predictions.shadow_inventory. Key: resource.
select
    resource_id as resource, -- `env/service`.
    max(upper['cpu_cores']) as cpu, -- Highest hourly upper bound, cores.
    max(upper['memory_bytes']) as memory, -- Highest hourly upper bound, bytes.
    max(predicted_state['cpu_cores']) as peak_cpu, -- Highest hourly expected value, cores.
    max(predicted_state['memory_bytes']) as peak_memory, -- Highest hourly expected value, bytes.
    avg(confidence_score) as confidence, -- Mean confidence. [0 to 1]
    max(model) as model, -- Names of the models.
    array_to_string(array_agg(distinct schedule_event_id), ', ') as schedule -- Scheduled events in these hours.
from predictions.shadow_inventory
where last_updated >= (select now from session.clock) - interval '24 hours'
    and last_updated <= (select now from session.clock)
    and at >= (select now from session.clock) - interval '1 hour'
    and (upper['cpu_cores'] is not null or upper['memory_bytes'] is not null)
group by resource_id
