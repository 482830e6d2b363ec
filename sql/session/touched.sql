-- One row per pull request whose trace may change because of events that arrived since the last time. Superfluous rows do no
-- harm, but a missing row would. The rules are those of traces.links.
-- Reads session.new_events, staging.events (around their days), traces.branches, which is the only table that is read over
-- the whole history. Key: pr_id.
with loose as (
    select repo, branch, sha, session
    from session.new_events
    where pr_id is null
),

commits as (
    select repo, branch, pr_id
    from staging.events
    where type in ('pr', 'commit', 'push') and sha in (select sha from loose where sha is not null)
),

named as (
    select pr_id as number from session.new_events where pr_id is not null
    union
    select pr_id from commits where pr_id is not null
    union
    select pr_id
    from staging.events
    where pr_id is not null and session in (select session from loose where session is not null and branch is null)
),

heads as (
    -- Events that name a pull request are included, because events of another pull request on the same branch may have been
    -- assigned to it.
    select repo || ' ' || branch as head from session.new_events
    union
    select repo || ' ' || branch from commits where pr_id is null
),

siblings as (
    select head from heads
    union
    select repo || ' ' || branch from traces.branches where pr_id in (select number from named)
),

found as (
    select pr_id, trace_date
    from traces.branches
    where pr_id in (select number from named) or repo || ' ' || branch in (select head from siblings)
    union all
    select number, cast(null as date) as trace_date from named
)

select
    pr_id,
    max(trace_date) as trace_date -- Day under which the trace is stored; null if the pull request has no trace yet.
from found
group by pr_id
