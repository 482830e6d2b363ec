-- One row per verdict a person gave on an item of a plan.
-- Reads staging.events. Key: event_id. applied_at, rolled_back_at and resource come from the item's own adjustments, null
-- when they are unknown here.
with adjustments as (
    select
        item_id,
        max(plan_id) as plan_id,
        max(resource) as resource,
        min(case when action is distinct from 'rollback' then ts end) as applied_at,
        max(case when action = 'rollback' then ts end) as rolled_back_at
    from staging.events
    where type = 'adjustment' and item_id is not null
    group by item_id
)

select
    f.event_id,
    f.item_id,
    a.plan_id,
    coalesce(a.resource, f.resource) as resource,
    f.verdict,
    f.note,
    f.developer,
    a.applied_at,
    a.rolled_back_at,
    f.ts as given_at
from staging.events f
left join adjustments a on f.item_id = a.item_id
where f.type = 'feedback'
order by f.ts, f.event_id
