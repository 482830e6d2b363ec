-- One row per event of a trace: every event of a pull request in the order in which it happened.
-- Reads staging.events, session.event_types. Key: pr_id, event_id; seq counts from 1 without gaps inside a pull request.
-- An event may belong to several pull requests. link_rule says why it belongs:
--   number  it names the pull request
--   branch  it names no pull request, but the branch of one that was open then, and no default branch
with pull_requests as (
    select
        pr_id,
        repo,
        max(branch) as branch,
        min(ts) as first_at,
        max(case when action in ('merged', 'closed') then ts end) as ended_at,
        max(case when action = 'reopened' then ts end) as reopened_at
    from staging.events
    where pr_id is not null and type in ('pr', 'commit', 'push')
    group by pr_id, repo
),

linked as (
    select pr_id, event_id, ts, type, 'number' as link_rule, repo, branch, developer, env, resource, session, context, payload
    from staging.events
    where pr_id is not null

    union all

    select
        p.pr_id, e.event_id, e.ts, e.type, 'branch' as link_rule, e.repo, e.branch, e.developer, e.env, e.resource,
        e.session, e.context, e.payload
    from staging.events e
    join pull_requests p on e.repo = p.repo and e.branch = p.branch
    where e.pr_id is null
        and e.branch not in ('main', 'master', 'trunk', 'develop')
        -- Work begins before the pull request is opened; two weeks is the usual length of an iteration.
        and e.ts >= p.first_at - interval '14 days'
        and (p.ended_at is null or p.reopened_at > p.ended_at or e.ts <= p.ended_at)
)

select
    md5(l.pr_id) as trace_id, -- The trace: hash of pr_id. [not null]
    l.pr_id, -- Pull request, `owner/name#number`. [not null; in traces.traces.pr_id]
    row_number() over (partition by l.pr_id order by l.ts, coalesce(t.rank, 1000), l.event_id) as seq, -- Place of the event in the trace, from 1 without gaps. [>= 1]
    l.event_id, -- The event. [not null; in staging.events.event_id]
    l.ts,
    l.type,
    l.link_rule, -- Why the event belongs to the pull request. [not null]
    l.repo,
    l.branch,
    l.developer,
    l.env,
    l.resource,
    l.session,
    l.context,
    l.payload
from linked l
left join session.event_types t on l.type = t.type
order by l.pr_id, seq
