-- One row per adjustment or outcome of an item: what was done, when, and what came of it.
-- Reads staging.events. Key: event_id. A row depends on its event alone.
select
    event_id,
    ts, -- When it was done or judged, UTC.
    type,
    plan_id,
    item_id,
    resource,
    action,
    before,
    after,
    result,
    developer
from staging.events
where type in ('adjustment', 'outcome')
order by ts, event_id
