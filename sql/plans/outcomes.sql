-- One row per adjustment or outcome of an item: the action, its time and its result.
-- Reads plans.events. Key: event_id. A row depends on its event and on the adjustments of its item.
select
    event_id,
    ts, -- Time of the adjustment or outcome, UTC.
    type,
    plan_id,
    item_id,
    coalesce(
        case when item_id is not null then max(case when type = 'adjustment' then resource end) over item end, resource
    ) as resource, -- Container or service that the item changed, `env/service`.
    action,
    before,
    after,
    result,
    developer,
    case when item_id is not null then
        min(case when type = 'adjustment' and action is distinct from 'rollback' then ts end) over item
    end as applied_at, -- Time at which the item was first applied.
    case when item_id is not null then
        max(case when type = 'adjustment' and action = 'rollback' then ts end) over item
    end as rolled_back_at -- Time at which the item was last rolled back.
from plans.events
where type in ('adjustment', 'outcome')
window item as (partition by item_id)
order by ts, event_id
