-- One row per adjustment of a resource up to now, the newest last, for `plan`.
-- Reads staging.events. Key: event_id.
select
    event_id,
    resource, -- `env/service`.
    ts, -- When it was adjusted, UTC.
    before -- Its state before, as JSON.
from staging.events
where type = 'adjustment' and resource is not null and ts <= (select now from session.clock)
order by ts
