-- One row per event type in the lake, of all resources or of one, for `report`.
-- Reads staging.events. Key: type.
-- Parameter resource: text
select
    type,
    count(*) as events, -- Events of the type. [> 0]
    max(ts) as newest -- The newest of them, UTC.
from staging.events
where ts <= (select now from session.clock) and ($resource = '' or resource = $resource)
group by type
order by events desc, type
