-- No amount is one that cannot be: a share outside 0 to 1, more than 10,000 cores, 1 PiB, a year. Such events are kept, the
-- amount in the payload alone, and neither sizing nor training sees it.
-- Finds one row per type and fields. Reads staging.events.
select
    type as subject,
    concat(count(*), ' events with amounts that cannot be: ', impossible, ', such as ', min(event_id)) as finding
from staging.events
where impossible is not null
group by type, impossible
order by subject, finding
