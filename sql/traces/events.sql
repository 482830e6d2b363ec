-- One row per event of a trace: every event of a pull request, in chronological order.
-- Reads staging.events, traces.branches, traces.links. Key: pr_id, event_id. seq counts from 1 without gaps inside a pull
-- request, ordered by time, then causes before effects (event_rank), then event_id. link_rule gives the reason why the event
-- belongs to the pull request: number (the event names the pull request), or else a rule of traces.links. The most frequently
-- queried payload fields are columns.
-- Partition: trace_date
-- Follows: pull requests
with pull_requests as (
    select distinct pr_id, trace_id, trace_date from traces.branches
),

linked as (
    select
        e.pr_id, 'number' as link_rule, e.event_id, e.event_date, e.ts, e.type, e.repo, e.branch, e.developer, e.env,
        e.resource, e.session, e.action, e.title, e.sha, e.head_repo_id, e.file, e.language, e.duration_ms, e.insertions,
        e.deletions, e.context, e.payload
    from staging.events e
    where e.pr_id is not null

    union all

    select
        l.pr_id, l.link_rule, e.event_id, e.event_date, e.ts, e.type, e.repo, e.branch, e.developer, e.env,
        e.resource, e.session, e.action, e.title, e.sha, e.head_repo_id, e.file, e.language, e.duration_ms, e.insertions,
        e.deletions, e.context, e.payload
    from traces.links l
    join staging.events e on l.event_id = e.event_id and l.event_date = e.event_date
    where e.pr_id is null
)

-- There is no final order by: the window keeps the events of each pull request together and in order, and two streams write
-- faster than one.
select
    p.trace_id, -- Identifier of the trace: the hash of pr_id. [not null]
    l.pr_id, -- Pull request, `owner/name#number`. [not null; in traces.traces.pr_id]
    row_number() over (partition by p.trace_date, l.pr_id order by l.ts, event_rank(l.type), l.event_id) as seq, -- Position of the event in the trace, counted from 1 without gaps. [>= 1]
    l.event_id, -- Identifier of the event. [not null; in staging.events.event_id]
    l.ts,
    l.type,
    l.link_rule, -- Rule by which the event belongs to the pull request. [not null; one of: number, branch, sha, session]
    l.repo,
    l.branch,
    l.developer,
    l.env,
    l.resource,
    l.session,
    l.action,
    l.title,
    l.sha,
    l.head_repo_id,
    l.file,
    l.language,
    l.duration_ms,
    l.insertions,
    l.deletions,
    l.context,
    l.payload,
    l.event_date, -- UTC day of `ts`.
    p.trace_date -- UTC day of the first event that names the pull request: the partition column. [not null]
from linked l
join pull_requests p on l.pr_id = p.pr_id
