-- One row per pair of an event that names no pull request and a pull request to which the event nevertheless belongs. An
-- event may belong to several pull requests.
-- Reads staging.events, traces.branches. Key: event_id, pr_id. The first rule that holds applies.
-- Rule branch: the event happened on a head branch of the pull request, during the period in traces.branches.
-- Rule sha: the event is about a commit of the pull request, within 30 days. Such a commit names the pull request, was its
-- head, or was assigned to it by the rule branch.
-- Rule session: the event has no branch, and its session, used by the same person only, named the pull request within 12
-- hours.
-- Forks may use the same branch names. If several pull requests have the same branch, those with the commit of the event are
-- used. If there are none, those from the fork of the event are used, or all of them if the event has no fork.
-- Partition: event_date
-- Follows: pull requests
with loose as (
    select event_id, event_date, ts, type, repo, branch, sha, session, developer, head_repo_id
    from staging.events
    where pr_id is null
),

named_commits as (
    select repo, sha, pr_id, ts
    from staging.events
    where pr_id is not null and type in ('pr', 'commit', 'push') and sha is not null
        -- A merge may create a commit, which belongs to the main branch. Runs on this commit do not belong to the pull
        -- request.
        and (type <> 'pr' or action is distinct from 'merged')
),

branches as (
    select *, count(*) over (partition by repo, branch) > 1 as is_shared
    from traces.branches
    where branch is not null and linked_from is not null
),

on_branch as (
    select
        l.event_id, l.event_date, l.ts, l.type, l.repo, l.sha, b.pr_id, b.is_shared,
        -- A pull request from one fork does not include runs of another fork.
        coalesce(l.head_repo_id <> b.head_repo_id, false) as is_of_another
    from loose l
    join branches b on l.repo = b.repo and l.branch = b.branch
    where l.ts >= b.linked_from and (b.linked_until is null or l.ts <= b.linked_until)
),

by_commit as (
    select s.event_id, s.pr_id
    from on_branch s
    join named_commits c on s.repo = c.repo and s.sha = c.sha and s.pr_id = c.pr_id
    where s.is_shared
    group by s.event_id, s.pr_id
),

by_branch as (
    select event_id, event_date, ts, type, repo, sha, pr_id
    from on_branch
    where not is_shared and not is_of_another

    union all

    select s.event_id, s.event_date, s.ts, s.type, s.repo, s.sha, s.pr_id
    from on_branch s
    join by_commit c on s.event_id = c.event_id and s.pr_id = c.pr_id

    union all

    select s.event_id, s.event_date, s.ts, s.type, s.repo, s.sha, s.pr_id
    from on_branch s
    left anti join by_commit c on s.event_id = c.event_id
    where s.is_shared and not s.is_of_another
),

commits as (
    select repo, sha, pr_id, ts
    from named_commits

    union all

    select repo, sha, pr_id, ts
    from by_branch
    where type in ('commit', 'push') and sha is not null
),

sessions as (
    -- Grouped by day and person, because the name of a session may be reused.
    select session, developer, repo, pr_id, min(ts) as first_at, max(ts) as last_at
    from staging.events
    where pr_id is not null and session in (select session from loose where branch is null and session is not null)
    group by session, developer, repo, pr_id, event_date
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
        and (l.developer is null or s.developer is null or l.developer = s.developer)
        and l.ts between s.first_at - interval '12 hours' and s.last_at + interval '12 hours'
)

select
    event_id, -- Identifier of the event. [not null; in staging.events.event_id]
    pr_id, -- Pull request to which the event belongs. [not null; in traces.branches.pr_id]
    case min(rule) when 1 then 'branch' when 2 then 'sha' else 'session' end as link_rule, -- Rule by which the event belongs to the pull request. [one of: branch, sha, session]
    ts,
    type,
    event_date
from found
group by event_id, pr_id, ts, type, event_date
order by event_date, pr_id, event_id
