-- One row per event of a component: a deployment, an observation, or a health check.
-- Reads staging.events. Key: event_id. A row depends only on its event.
-- Partition: event_date
-- Follows: staging.events
select
    event_id,
    ts, -- Time of the deployment, observation or health check, UTC.
    type, -- Kind of event. [one of: component, health]
    component, -- Name of the component. [not null]
    version, -- Semantic version of the component; null if only its health is reported.
    digest, -- Digest of the deployed component, if declared.
    stack_group as "group", -- Name of the version group of the component.
    group_digest, -- Digest of the version group.
    place, -- Place of deployment. [one of: staging, production]
    env,
    resource,
    health, -- Health of the component. [one of: healthy, unhealthy]
    status, -- HTTP status that the health URL returned.
    duration_ms, -- Response time, ms. [>= 0]
    note,
    event_date
from staging.events
where type in ('component', 'health') and component is not null
order by event_date, ts, event_id
