-- One row: the nearest adjustments of a resource by other plans, before and after this plan was applied, for `verify`.
-- Between these adjustments, only this plan affects the resource.
-- Reads staging.events.
-- Parameter resource: text
-- Parameter plan: text
-- Parameter applied: timestamp
select
    max(case when ts < $applied then ts end) as earlier, -- Time of the last adjustment before, UTC.
    min(case when ts > $applied then ts end) as later -- Time of the first adjustment after, UTC.
from staging.events
where type = 'adjustment' and resource = $resource and plan_id <> $plan
