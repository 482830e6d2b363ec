-- One row per verdict that a person gave on an item of a plan.
-- Reads plans.events, plans.outcomes. Key: event_id. A row depends on its event and on the adjustments of its item.
-- applied_at, rolled_back_at and resource come from the adjustments of the item. If the adjustments are unknown, applied_at
-- and rolled_back_at are null, and resource is the one that the verdict names.
with adjustments as (
    select
        item_id,
        max(plan_id) as plan_id,
        max(resource) as resource,
        max(applied_at) as applied_at,
        max(rolled_back_at) as rolled_back_at
    from plans.outcomes
    where type = 'adjustment' and item_id is not null
    group by item_id
)

select
    f.event_id,
    f.item_id,
    a.plan_id, -- Plan of the item; null if no adjustment of the item is known.
    coalesce(a.resource, f.resource) as resource, -- Container or service that the item changed, `env/service`.
    f.verdict,
    f.note,
    f.developer,
    a.applied_at, -- Time at which the item was first applied.
    a.rolled_back_at, -- Time at which the item was last rolled back.
    f.ts as given_at -- Time at which the verdict was given, UTC. [not null]
from plans.events f
left join adjustments a on f.item_id = a.item_id
where f.type = 'feedback'
order by f.ts, f.event_id
