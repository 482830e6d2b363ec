-- One row per reported adjustment, outcome or verdict of an item.
-- Reads staging.events. Key: event_id. A row depends only on its event.
-- Partition: event_date
-- Follows: staging.events
select
    event_id,
    ts, -- Time of the adjustment, outcome or verdict, UTC.
    type, -- Kind of event. [one of: adjustment, outcome, feedback]
    plan_id,
    item_id,
    resource,
    action,
    before,
    after,
    result,
    verdict,
    note,
    developer,
    event_date
from staging.events
where type in ('adjustment', 'outcome', 'feedback')
order by event_date, ts, event_id
