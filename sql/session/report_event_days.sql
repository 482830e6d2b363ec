-- One row per UTC day of the page with events, for all resources or for one, for `report`.
-- Reads staging.events. Key: day.
-- Parameter since: timestamp
-- Parameter resource: text
select
    cast(event_date as varchar) as day, -- UTC day, as YYYY-MM-DD.
    count(*) as events -- Number of events on the day. [> 0]
from staging.events
where ts >= $since and ts <= (select now from session.clock)
    and ($resource = '' or resource = $resource)
group by event_date
order by event_date
