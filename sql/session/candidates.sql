-- One row per earlier event that names no pull request and may now belong to a touched pull request. Superfluous rows do no
-- harm.
-- Reads staging.events (the days in question, without the new events), session.new_events, session.new_times. Key: event_id.
-- The rules are those of traces.links.
with loose as (
    select event_id, event_date, ts, type, repo, branch, sha, session
    from staging.events
    where pr_id is null
),

by_branch as (
    select l.event_id, l.event_date, l.type, l.sha
    from loose l
    join session.new_times t on l.repo = t.repo and l.branch = t.branch
    where l.ts >= t.from_ts and (t.until_ts is null or l.ts <= t.until_ts)
)

select event_id, event_date from by_branch
union
select event_id, event_date
from loose
where sha in (
    select sha from session.new_events where type in ('pr', 'commit', 'push') and sha is not null
    union all
    select sha from by_branch where type in ('commit', 'push') and sha is not null
)
union
select event_id, event_date
from loose
where branch is null and session in (select session from session.new_events where pr_id is not null and session is not null)
