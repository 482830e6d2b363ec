-- No sample shows more CPU or memory than its limit or its machine allows. Samples with such amounts are kept. The impossible
-- amounts are in staging.events only, and neither sizing nor training uses them.
-- Finds one row per resource and fields. Reads marts.usage, staging.events.
select
    concat('usage ', u.resource) as subject,
    concat(
        count(*), ' samples beyond their limit or machine: ', u.impossible, ', the latest at ', cast(max(u.ts) as varchar)
    ) as finding
from (select event_id, event_date, resource, ts, impossible from marts.usage where impossible is not null) u
join (select event_id, event_date, impossible from staging.events where type = 'usage') e
    on u.event_id = e.event_id and u.event_date = e.event_date
where u.impossible is distinct from e.impossible
group by u.resource, u.impossible
order by subject, finding
