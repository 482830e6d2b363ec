-- One row per component, version and place: when the version was first and last seen at the place, and its last health.
-- Reads stack.components. Key: component, version, place. A row depends on all events of its component and place.
-- If a version returned to the place, the time of its return counts as its first deployment.
with seen as (
    select
        component, version, coalesce(place, 'production') as place, digest, "group", group_digest, env, resource, ts, event_id,
        lag(version) over (partition by component, coalesce(place, 'production') order by ts, event_id) as before
    from stack.components
    where type = 'component' and version is not null
),

stretches as (
    select
        *,
        sum(case when before is distinct from version then 1 else 0 end) over (
            partition by component, place order by ts, event_id
        ) as stretch,
        row_number() over (partition by component, version, place order by ts desc, event_id desc) as newest
    from seen
),

last_stretch as (
    select component, version, place, max(stretch) as stretch from stretches group by component, version, place
),

since as (
    select s.component, s.version, s.place, l.stretch, min(s.ts) as since, max(s.ts) as deployed_at
    from stretches s
    join last_stretch l
        on s.component = l.component and s.version = l.version and s.place = l.place and s.stretch = l.stretch
    group by s.component, s.version, s.place, l.stretch
),

asked as (
    select
        component, version, coalesce(place, 'production') as place, health, ts,
        row_number() over (
            partition by component, version, coalesce(place, 'production') order by ts desc, event_id desc
        ) as newest
    from stack.components
    where type = 'health' and version is not null
)

select
    n.component,
    n.version,
    n.digest, -- Digest of the deployed component, if declared.
    n."group", -- Name of the version group with which the version was last deployed.
    n.group_digest, -- Digest of that version group.
    n.place, -- Place of deployment. [one of: staging, production]
    a.health, -- Health at the last check; null if never checked. [one of: healthy, unhealthy]
    s.stretch = max(s.stretch) over (partition by n.component, n.place) as is_live, -- Whether the version is the one that was seen last at the place. [not null]
    s.since, -- Time at which the version was first deployed at the place, UTC. [not null]
    greatest(s.deployed_at, coalesce(a.ts, s.deployed_at)) as seen_at, -- Time at which the version was last deployed, observed or checked, UTC. [not null]
    n.env,
    n.resource
from stretches n
join since s on n.component = s.component and n.version = s.version and n.place = s.place
left join asked a on n.component = a.component and n.version = a.version and n.place = a.place and a.newest = 1
where n.newest = 1
order by n.component, n.place, s.since, n.version
