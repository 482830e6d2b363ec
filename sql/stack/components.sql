-- One row per event of a component: that a version of it was deployed or seen, or how it was.
-- Reads staging.events. Key: event_id. A row depends on its event alone.
-- Partition: event_date
-- Follows: staging.events
select
    event_id,
    ts, -- When it was deployed, seen or asked, UTC.
    type, -- What it is. [one of: component, health]
    component, -- Name of the component. [not null]
    version, -- Its semantic version; null where only its health is told.
    digest, -- Hash of what is deployed, where it is declared.
    stack_group as "group", -- Version group that it belongs to, by name.
    group_digest, -- The same by its digest.
    place, -- Where it is. [one of: staging, production]
    env,
    resource,
    health, -- How it was. [one of: healthy, unhealthy]
    status, -- HTTP status that its health was answered with.
    duration_ms, -- How long the answer took, ms. [>= 0]
    note,
    event_date
from staging.events
where type in ('component', 'health') and component is not null
order by event_date, ts, event_id
