-- One row per event type in the lake, for all resources or for one, for `report`.
-- Reads staging.events. Key: type.
-- Parameter resource: text
select
    type,
    count(*) as events, -- Number of events of the type. [> 0]
    max(ts) as newest -- Time of the newest of these events, UTC.
from staging.events
where ts <= (select now from session.clock) and ($resource = '' or resource = $resource)
group by type
order by events desc, type
