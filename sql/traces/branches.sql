-- One row per pull request and head branch: the period in which events on the branch belong to the pull request without
-- naming it.
-- Reads staging.events. Key: pr_id, branch. A pull request without a known branch has one row without a branch. trace_date is
-- the UTC day of the first event that names the pull request. traces.events and traces.traces are also partitioned by
-- trace_date.
-- Partition: trace_date
-- Follows: pull requests
with named as (
    select pr_id, repo, branch, ts, type, action, head_repo_id
    from staging.events
    where pr_id is not null
),

lives as (
    select
        pr_id,
        coalesce(max(repo), split_part(pr_id, '#', 1)) as repo,
        cast(min(ts) as date) as trace_date,
        max(case when type = 'pr' then head_repo_id end) as head_repo_id,
        min(case when type in ('pr', 'commit', 'push') then ts end) as first_at,
        max(case when type = 'pr' and action in ('merged', 'closed') then ts end) as ended_at,
        max(case when type = 'pr' and action = 'reopened' then ts end) as reopened_at
    from named
    group by pr_id
),

heads as (
    -- Events on a default branch belong to no single pull request.
    select distinct pr_id, branch
    from named
    where type in ('pr', 'commit', 'push') and branch not in ('main', 'master', 'trunk', 'develop')
)

select
    l.pr_id, -- Pull request, `owner/name#number`. [not null]
    md5(l.pr_id) as trace_id, -- Identifier of the trace: the hash of pr_id. [not null]
    l.repo, -- Repository, `owner/name`. [not null]
    h.branch, -- Head branch of the pull request; null if unknown.
    l.head_repo_id, -- Identifier of the fork that the pull request comes from; null if there is no fork or the fork is unknown.
    -- Work begins before the pull request is opened. Two weeks is the usual length of an iteration.
    l.first_at - interval '14 days' as linked_from, -- Start of the period in which events on the branch belong to the pull request; null if the pull request has no commit, push or pull-request event of its own.
    case when l.reopened_at > l.ended_at then null else l.ended_at end as linked_until, -- End of that period; null while the pull request is open or reopened.
    l.trace_date -- UTC day of the first event that names the pull request: the partition column. [not null]
from lives l
left join heads h on l.pr_id = h.pr_id
order by l.trace_date, l.pr_id
