-- One row per event, pull request of the event, and changed file that the event lists.
-- Reads staging.events, traces.links. Key: event_id, pr_id, path. A row depends on its event and the links of that
-- event. Commits and pushes list the files that they changed. Runs (`record`) list the files that were uncommitted
-- when the run began. An event without a pull request has one row per file. An event with several pull requests has
-- one row per file for each pull request.
-- Partition: event_date
-- Follows: staging.events, traces.links
with named as (
    -- The text is searched before it is parsed as JSON, because searching is cheaper.
    select
        event_id, event_date, ts, type, repo, pr_id, sha,
        json_get_array(payload, 'files') as paths
    from staging.events
    where type in ('commit', 'push') and payload like '%"files"%'

    union all

    select
        event_id, event_date, ts, type, repo, pr_id, sha,
        json_get_array(payload, 'paths') as paths
    from staging.events
    where type in ('command', 'test', 'ci_run') and payload like '%"paths"%'
),

listed as (
    select event_id, event_date, ts, type, repo, pr_id, sha, unnest(paths) as path
    from named
),

files as (
    select distinct event_id, event_date, ts, type, repo, pr_id, sha, json_get_str(path) as path
    from listed
)

select
    f.event_id, -- Event that lists the file. [not null; in staging.events.event_id]
    f.ts, -- Time of the event, UTC. [not null]
    f.type, -- Type of the event. [one of: commit, push, command, test, ci_run]
    f.repo, -- Repository, `owner/name`.
    coalesce(f.pr_id, l.pr_id) as pr_id, -- Pull request that the event belongs to.
    f.sha, -- Commit of a commit or push event.
    f.path, -- Path of the file in its repository. [not null]
    file_role(f.path) as role, -- Role of the file in its project. [one of: lockfile, manifest, ci, doc, test, source, other]
    f.event_date
from files f
left join traces.links l on f.event_id = l.event_id and f.pr_id is null
where f.path is not null
order by f.event_date, f.event_id, f.path
