-- One row per event that names no pull request and a pull request it belongs to all the same; it may belong to several.
-- Reads staging.events, traces.branches. Key: event_id, pr_id. Rules, of which the first that holds counts:
--   branch   it happened on a head branch of the pull request, in the time that traces.branches gives
--   sha      it is about a commit of the pull request: one that names it, or that the branch rule gave it, and that was
--            made within 30 days of it
--   session  it says no branch, and its session named the pull request within 12 hours of it
-- Partition: event_date
-- Follows: pull requests
with loose as (
    select event_id, event_date, ts, type, repo, branch, sha, session
    from staging.events
    where pr_id is null
),

by_branch as (
    select l.event_id, l.event_date, l.ts, l.type, l.repo, l.sha, b.pr_id
    from loose l
    join traces.branches b on l.repo = b.repo and l.branch = b.branch
    where l.ts >= b.linked_from and (b.linked_until is null or l.ts <= b.linked_until)
),

commits as (
    select repo, sha, pr_id, ts
    from staging.events
    where pr_id is not null and type in ('commit', 'push') and sha is not null

    union all

    select repo, sha, pr_id, ts
    from by_branch
    where type in ('commit', 'push') and sha is not null
),

sessions as (
    -- By day, because the name of a session may come again.
    select session, repo, pr_id, min(ts) as first_at, max(ts) as last_at
    from staging.events
    where pr_id is not null and session in (select session from loose where branch is null and session is not null)
    group by session, repo, pr_id, event_date
),

found as (
    select event_id, event_date, ts, type, pr_id, 1 as rule
    from by_branch

    union all

    select l.event_id, l.event_date, l.ts, l.type, c.pr_id, 2 as rule
    from loose l
    join commits c on l.sha = c.sha and l.repo = c.repo
    where l.ts between c.ts - interval '30 days' and c.ts + interval '30 days'

    union all

    select l.event_id, l.event_date, l.ts, l.type, s.pr_id, 3 as rule
    from loose l
    join sessions s on l.session = s.session
    where l.branch is null
        and (l.repo is null or l.repo = s.repo)
        and l.ts between s.first_at - interval '12 hours' and s.last_at + interval '12 hours'
)

select
    event_id, -- The event. [not null; in staging.events.event_id]
    pr_id, -- A pull request it belongs to. [not null; in traces.branches.pr_id]
    case min(rule) when 1 then 'branch' when 2 then 'sha' else 'session' end as link_rule, -- Why. [one of: branch, sha, session]
    ts,
    type,
    event_date
from found
group by event_id, pr_id, ts, type, event_date
order by event_date, pr_id, event_id
