-- One row per run that had ended by session.clock and of which it is known what its change had touched when it began.
-- Reads marts.runs, staging.events, traces.events, session.clock. Key: event_id.
-- Files count that the run's own event lists as not committed, those of its commit, and those that the commits and pushes
-- of its pull request had named by then; what each is to the project, says file_role(path).
with listed as (
    -- A text is looked for before it is read as JSON: that costs less.
    select event_id, json_get_array(payload, 'paths') as paths
    from staging.events
    where type in ('command', 'test', 'ci_run') and payload like '%"paths"%'
),

recorded as (
    select event_id, json_get_str(payload, 'commit') as commit
    from staging.events
    where type in ('command', 'test') and payload like '%"record_id"%'
),

runs as (
    select r.event_id, r.repo, r.pr_id, r.started_at, coalesce(r.sha, e.commit) as sha
    from marts.runs r
    left join recorded e on r.event_id = e.event_id
    where r.ended_at <= (select now from session.clock)
),

committed as (
    -- Commits and pushes that say which files they changed: of a pull request, or by their hash.
    select pr_id, cast(null as varchar) as repo, cast(null as varchar) as sha, ts, json_get_array(payload, 'files') as files
    from traces.events
    where type in ('commit', 'push') and payload like '%"files"%'

    union all

    select cast(null as varchar) as pr_id, repo, sha, ts, json_get_array(payload, 'files') as files
    from staging.events
    where type in ('commit', 'push') and sha is not null and payload like '%"files"%'
),

files as (
    select pr_id, repo, sha, json_get_str(file) as path, min(ts) as first_at
    from (select pr_id, repo, sha, ts, unnest(files) as file from committed)
    group by pr_id, repo, sha, json_get_str(file)
),

touched as (
    select event_id, json_get_str(path) as path, true as is_open
    from (select event_id, unnest(paths) as path from listed)

    union all

    select r.event_id, f.path, false as is_open
    from runs r
    join files f on r.pr_id = f.pr_id
    where f.first_at <= r.started_at

    union all

    select r.event_id, f.path, false as is_open
    from runs r
    join files f on r.sha = f.sha and r.repo = f.repo
    where f.first_at <= r.started_at
),

once as (
    select event_id, path, file_role(path) as role, bool_or(is_open) as is_open
    from touched
    where path is not null
    group by event_id, path
)

select
    o.event_id, -- The run's event. [not null]
    array_slice(array_agg(o.path order by o.path), 1, 500) as paths, -- Files its change had touched when it began, at most 500, as many as `record` lists. [not null]
    sum(case when o.is_open then 1 else 0 end) as uncommitted, -- How many of all were not committed yet. [>= 0]
    count(*) as touched_files, -- How many it had touched. [>= 1]
    sum(case when o.role = 'lockfile' then 1 else 0 end) as touched_lockfiles, -- Those that say which versions of packages are taken. [>= 0]
    sum(case when o.role = 'manifest' then 1 else 0 end) as touched_manifests, -- Those that say what is needed or how it is built. [>= 0]
    sum(case when o.role = 'ci' then 1 else 0 end) as touched_ci_files, -- Those that say what the CI system does. [>= 0]
    sum(case when o.role = 'source' then 1 else 0 end) as touched_sources, -- Those that are compiled or run. [>= 0]
    sum(case when o.role = 'test' then 1 else 0 end) as touched_tests, -- Tests. [>= 0]
    sum(case when o.role = 'doc' then 1 else 0 end) as touched_docs, -- Text for people. [>= 0]
    count(distinct nullif(regexp_match(o.path, '\.[A-Za-z0-9]+$')[1], '')) as touched_kinds, -- How many endings they have, `.rs`. [>= 0]
    count(distinct regexp_replace(o.path, '/[^/]*$', '')) as touched_folders -- In how many folders they lie. [>= 1]
from once o
join runs r on o.event_id = r.event_id
group by o.event_id
