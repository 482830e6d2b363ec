-- One row per event of a component: a deployment, an observation, or a health check.
-- Reads staging.events. Key: event_id. A row depends only on its event.
-- Partition: event_date
-- Follows: staging.events
select
    event_id,
    ts, -- When it was deployed, observed or checked, UTC.
    type, -- Kind of event. [one of: component, health]
    component, -- Name of the component. [not null]
    version, -- Its semantic version; null if only its health is reported.
    digest, -- Digest of the deployed component, if declared.
    stack_group as "group", -- Version group that it belongs to, by name.
    group_digest, -- The same by its digest.
    place, -- Place of deployment. [one of: staging, production]
    env,
    resource,
    health, -- Health. [one of: healthy, unhealthy]
    status, -- HTTP status of its health URL.
    duration_ms, -- Response time, ms. [>= 0]
    note,
    event_date
from staging.events
where type in ('component', 'health') and component is not null
order by event_date, ts, event_id
