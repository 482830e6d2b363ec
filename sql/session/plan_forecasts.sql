-- One row per resource: the upper bounds of its newest forecast over the whole horizon, as the basis of a plan. An hour
-- later, the bounds are the same.
-- Reads predictions.shadow_inventory. Key: resource.
with newest as (
    select resource_id, max(last_updated) as last_updated
    from predictions.shadow_inventory
    where last_updated <= (select now from session.clock)
    group by resource_id
)

select
    i.resource_id as resource, -- Resource, `env/service`.
    max(i.upper['cpu_cores']) as cpu, -- Highest hourly upper bound, cores.
    max(i.upper['memory_bytes']) as memory, -- Highest hourly upper bound, bytes.
    max(i.model) as model -- Names of the models.
from predictions.shadow_inventory i
join newest n on i.resource_id = n.resource_id and i.last_updated = n.last_updated
where i.upper['cpu_cores'] is not null or i.upper['memory_bytes'] is not null
group by i.resource_id
order by i.resource_id
