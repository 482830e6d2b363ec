-- One row per run that had ended by session.clock, if the files that its change had touched when the run began are known.
-- Reads marts.runs, marts.changed_files, traces.traces, session.clock. Key: event_id.
-- The counts include uncommitted files, files of the commit on which the run was executed, and files that the commits and
-- pushes of its pull request had listed by then. A pull request that was opened after the start of the run is ignored,
-- because it was not known yet.
with runs as (
    -- The files of a run are found by the run itself, by its pull request, and by its commit.
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
    event_id, -- Event of the run. [not null]
    array_slice(array_agg(path order by path), 1, 500) as paths, -- Files that the change had touched when the run began, at most 500 (the maximum of `record`). [not null]
    sum(case when is_open then 1 else 0 end) as uncommitted, -- Number of these files that were not committed yet. [>= 0]
    count(*) as touched_files, -- Number of touched files. [>= 1]
    sum(case when role = 'lockfile' then 1 else 0 end) as touched_lockfiles, -- Number of touched lock files. [>= 0]
    sum(case when role = 'manifest' then 1 else 0 end) as touched_manifests, -- Number of touched manifests and build scripts. [>= 0]
    sum(case when role = 'ci' then 1 else 0 end) as touched_ci_files, -- Number of touched CI configuration files. [>= 0]
    sum(case when role = 'source' then 1 else 0 end) as touched_sources, -- Number of touched source files. [>= 0]
    sum(case when role = 'test' then 1 else 0 end) as touched_tests, -- Number of touched test files. [>= 0]
    sum(case when role = 'doc' then 1 else 0 end) as touched_docs, -- Number of touched documentation files. [>= 0]
    count(distinct substr(path, length(path) - strpos(reverse(path), '.') + 2)) as touched_kinds, -- Number of different file extensions among the touched files. [>= 0]
    count(distinct left(path, length(path) - strpos(reverse('/' || path), '/') + 1)) as touched_folders -- Number of folders that contain the touched files. [>= 1]
from touched
group by event_id
