-- One row per resource with a forecast of the last day: what the shadow inventory expects from the current hour on, for `plan`.
-- Reads predictions.shadow_inventory. Key: resource.
select
    resource_id as resource, -- `env/service`.
    max(upper['cpu_cores']) as cpu, -- Highest upper bound of an hour, cores.
    max(upper['memory_bytes']) as memory, -- Highest upper bound of an hour, bytes.
    max(predicted_state['cpu_cores']) as peak_cpu, -- Highest expected hour, cores.
    max(predicted_state['memory_bytes']) as peak_memory, -- Highest expected hour, bytes.
    avg(confidence_score) as confidence, -- Mean confidence. [0 to 1]
    max(model) as model, -- The models.
    array_to_string(array_agg(distinct schedule_event_id), ', ') as schedule -- The scheduled events of these hours.
from predictions.shadow_inventory
where last_updated >= (select now from session.clock) - interval '24 hours'
    and last_updated <= (select now from session.clock)
    and at >= (select now from session.clock) - interval '1 hour'
    and (upper['cpu_cores'] is not null or upper['memory_bytes'] is not null)
group by resource_id
