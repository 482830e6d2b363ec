-- One row per run that had ended by session.clock: the files that its change had touched when the run began, the services
-- that the run called, and the packages that the run fetched or built.
-- Reads marts.runs, features.changes, staging.events, session.clock. Key: repo, run_id, started_at.
-- needs and packages_added are known only at known_at, the end of the run; all other columns are known when the run begins. A
-- call belongs to the run that recorded it (record_id). A call without a record_id belongs to the runs of its session during
-- which the call was made.
with recorded as (
    -- Fields of the recorder that are not columns of marts.runs. The text is searched before it is parsed as JSON, because
    -- searching is cheaper.
    select
        event_id,
        json_get_str(payload, 'record_id') as record_id,
        json_get_int(payload, 'packages_added') as packages_added
    from staging.events
    where type in ('command', 'test') and payload like '%"record_id"%'
),

sessions as (
    select event_id, session, developer
    from staging.events
    where type in ('command', 'test', 'ci_run') and session is not null
),

listed as (
    select event_id, payload
    from staging.events
    where type in ('command', 'test') and payload like '%"packages"%'
),

runs as (
    select
        r.run_id, r.event_id, r.job_key, r.repo, r.branch, r.pr_id, r.kind, r.command, r.workflow, r.job,
        r.started_at, r.ended_at, e.record_id, e.packages_added,
        -- As in features.contention: runs of people who are not known in the repository are not used for training.
        coalesce(r.from_fork, false)
        or coalesce(upper(r.author_association) in ('NONE', 'FIRST_TIMER', 'FIRST_TIME_CONTRIBUTOR', 'MANNEQUIN'), false)
            as stranger
    from marts.runs r
    left join recorded e on r.event_id = e.event_id
    where r.ended_at <= (select now from session.clock)
),

calls as (
    select service, ts, session, developer, json_get_str(payload, 'record_id') as record_id
    from staging.events
    where type = 'api_call' and service is not null
),

things as (
    -- pkg:cargo/serde@1.0.219 without the version, because a run needs a package in its newest version.
    select event_id, regexp_replace(json_get_str(package), '@[^@/]*$', '') as thing
    from (select event_id, unnest(json_get_array(payload, 'packages')) as package from listed)

    union all

    select r.event_id, c.service as thing
    from runs r
    join calls c on r.record_id = c.record_id

    union all

    select r.event_id, c.service as thing
    from runs r
    join sessions s on r.event_id = s.event_id
    join calls c on s.session = c.session
    where c.record_id is null and (s.developer is null or c.developer is null or s.developer = c.developer) and c.ts >= r.started_at and c.ts <= r.ended_at
),

needed as (
    select event_id, array_agg(distinct thing order by thing) as things
    from things
    where thing is not null and thing <> ''
    group by event_id
)

select
    r.run_id, -- Identifier of the run, as in marts.runs. [not null]
    r.job_key, -- Repository, workflow, job and command. Runs with the same key repeat the same work. [not null]
    r.repo, -- Repository, `owner/name`.
    r.branch,
    r.pr_id, -- Pull request of the run.
    r.kind, -- Kind of work: build, test, lint, run, ci, other. [not null]
    r.command,
    r.workflow,
    r.job,
    r.started_at, -- Start time, UTC. [not null]
    r.ended_at as known_at, -- End time of the run, UTC. Its needs may not be used earlier. [not null]
    coalesce(c.paths, arrow_cast(make_array(), 'List(Utf8)')) as paths, -- Files that were changed when the run began, at most 500: uncommitted files, files of its commit, and files of its pull request so far. [not null]
    coalesce(c.uncommitted, 0) as uncommitted, -- Number of these files that were not committed yet. [>= 0]
    coalesce(n.things, arrow_cast(make_array(), 'List(Utf8)')) as needs, -- Services that the run called, and registry packages that the run fetched or built, without versions (`https`, `pkg:cargo/serde`). [not null]
    r.packages_added, -- Number of added packages that the tool counted without naming them. [>= 0]
    r.record_id is not null or n.things is not null as seen, -- Whether the needs of the run were observed, because the run was recorded or some need is known. [not null]
    r.stranger -- Whether the run came from a fork, or from a person who is not known in the repository. [not null]
from runs r
left join features.changes c on r.event_id = c.event_id
left join needed n on r.event_id = n.event_id
order by r.started_at, r.run_id
