-- One row per run that had ended by session.clock and of which it is known what its change had touched when it began.
-- Reads marts.runs, marts.changed_files, traces.traces, session.clock. Key: event_id.
-- Files count that were not committed yet, those of the commit it ran on, and those that the commits and pushes of its pull
-- request had named by then; of a pull request that was opened later nobody knew.
with runs as (
    -- A run finds files by itself, by its pull request, and by its commit.
    select
        r.event_id,
        r.started_at,
        unnest(make_array('run ' || r.event_id, 'pull request ' || t.pr_id, 'commit ' || r.repo || ' ' || r.head_sha)) as key
    from marts.runs r
    left join traces.traces t on r.pr_id = t.pr_id and t.created_at <= r.started_at
    where r.ended_at <= (select now from session.clock)
),

files as (
    select 'run ' || event_id as key, path, role, true as is_open, min(ts) as first_at
    from marts.changed_files
    where type in ('command', 'test', 'ci_run')
    group by event_id, path, role

    union all

    select 'pull request ' || pr_id as key, path, role, false as is_open, min(ts) as first_at
    from marts.changed_files
    where type in ('commit', 'push') and pr_id is not null
    group by pr_id, path, role

    union all

    select 'commit ' || repo || ' ' || sha as key, path, role, false as is_open, min(ts) as first_at
    from marts.changed_files
    where type in ('commit', 'push') and sha is not null
    group by repo, sha, path, role
),

touched as (
    select r.event_id, f.path, f.role, bool_or(f.is_open) as is_open
    from runs r
    join files f on r.key = f.key
    where f.first_at <= r.started_at
    group by r.event_id, f.path, f.role
)

select
    event_id, -- The run's event. [not null]
    array_slice(array_agg(path order by path), 1, 500) as paths, -- Files its change had touched when it began, at most 500, as many as `record` lists. [not null]
    sum(case when is_open then 1 else 0 end) as uncommitted, -- How many of all were not committed yet. [>= 0]
    count(*) as touched_files, -- How many it had touched. [>= 1]
    sum(case when role = 'lockfile' then 1 else 0 end) as touched_lockfiles, -- Those that say which versions of packages are taken. [>= 0]
    sum(case when role = 'manifest' then 1 else 0 end) as touched_manifests, -- Those that say what is needed or how it is built. [>= 0]
    sum(case when role = 'ci' then 1 else 0 end) as touched_ci_files, -- Those that say what the CI system does. [>= 0]
    sum(case when role = 'source' then 1 else 0 end) as touched_sources, -- Those that are compiled or run. [>= 0]
    sum(case when role = 'test' then 1 else 0 end) as touched_tests, -- Tests. [>= 0]
    sum(case when role = 'doc' then 1 else 0 end) as touched_docs, -- Text for people. [>= 0]
    count(distinct substr(path, length(path) - strpos(reverse(path), '.') + 2)) as touched_kinds, -- How many endings their names have. [>= 0]
    count(distinct left(path, length(path) - strpos(reverse('/' || path), '/') + 1)) as touched_folders -- In how many folders they lie. [>= 1]
from touched
group by event_id
