-- One row per run and pair of components that the run used: the versions of the two components, and whether the run passed.
-- Reads staging.events, marts.run_reports, stack.components. Key: event_id, component, other.
-- A row depends on its run, and on the components that were deployed to its environment in the 30 days before.
-- The versions are those that the run lists (`components`), or else those staged in the environment of the run. A run that
-- was cancelled, timed out or was interrupted gives no evidence about versions.
-- Partition: event_date
-- Follows: staging.events, marts.run_reports, stack.components ±30 days
with runs as (
    select e.event_id, e.env, e.ts, e.components, r.outcome, e.event_date
    from staging.events e
    join marts.run_reports r on e.event_id = r.event_id and e.event_date = r.event_date
    where e.type in ('test', 'ci_run') and r.outcome in ('success', 'failure')
),

told as (
    select event_id, components, unnest(json_object_keys(components)) as component
    from runs
    where components is not null
),

staged as (
    select
        r.event_id, c.component, c.version,
        row_number() over (partition by r.event_id, c.component order by c.ts desc, c.event_id desc) as newest
    from runs r
    join stack.components c
        on r.env = c.env and c.ts <= r.ts and c.ts > r.ts - interval '30 days'
    where r.components is null and c.type = 'component' and c.place = 'staging'
),

met as (
    select event_id, component, json_get_str(components, component) as version, 'run' as source from told
    union all
    select event_id, component, version, 'staging' as source from staged where newest = 1
)

select
    r.event_id, -- Event of the run. [not null]
    a.component, -- Component whose name sorts first. [not null]
    a.version, -- Version of the first component. [not null]
    b.component as other, -- Component whose name sorts second. [not null]
    b.version as other_version, -- Version of the second component. [not null]
    a.source, -- Source of the versions. [one of: run, staging]
    r.outcome = 'success' as passed, -- Whether the run passed. [not null]
    r.ts as started_at, -- Start time, UTC. [not null]
    r.event_date
from runs r
join met a on r.event_id = a.event_id
join met b on r.event_id = b.event_id and a.component < b.component
where a.version is not null and b.version is not null
order by r.event_date, r.event_id, a.component, b.component
