-- One row per pull request whose trace may change through events that came since the last time: too many do no harm,
-- one too few would. The rules are those of traces.links.
-- Reads session.new_events, staging.events (around their days), traces.branches. Key: pr_id.
with loose as (
    select repo, branch, sha, session
    from session.new_events
    where pr_id is null
),

commits as (
    select repo, branch, pr_id
    from staging.events
    where type in ('commit', 'push') and sha in (select sha from loose where sha is not null)
)

select pr_id from session.new_events where pr_id is not null
union
select b.pr_id from loose l join traces.branches b on l.repo = b.repo and l.branch = b.branch
union
select pr_id from commits where pr_id is not null
union
select b.pr_id from commits c join traces.branches b on c.repo = b.repo and c.branch = b.branch where c.pr_id is null
union
select pr_id
from staging.events
where pr_id is not null and session in (select session from loose where session is not null and branch is null)
