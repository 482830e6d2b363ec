-- No event has an impossible amount: a share outside 0 to 1, more than 10,000 cores, more than 1 PiB, or more than a year.
-- Events with such an amount are kept, with the amount in the payload only, and neither sizing nor training uses the amount.
-- Finds one row per type and fields. Reads staging.events.
select
    type as subject,
    concat(count(*), ' events with amounts that cannot be: ', impossible, ', such as ', min(event_id)) as finding
from staging.events
where impossible is not null
group by type, impossible
order by subject, finding
