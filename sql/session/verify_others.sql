-- One row: the nearest adjustments of a resource by other plans, before and after this one was applied, for `verify`: between them
-- the resource is this plan's alone.
-- Reads staging.events.
-- Parameter resource: text
-- Parameter plan: text
-- Parameter applied: timestamp
select
    max(case when ts < $applied then ts end) as earlier, -- The last one before, UTC.
    min(case when ts > $applied then ts end) as later -- The first one after, UTC.
from staging.events
where type = 'adjustment' and resource = $resource and plan_id <> $plan
