-- One row per change in the two days before a spell began, for `explain`. The five newest changes of the resource, of its
-- environment, or of the repositories that run there are shown.
-- Reads staging.events, features.application_changes.
-- Parameter resource: text
-- Parameter began: timestamp
with repos as (
    select distinct repo from staging.events
    where repo is not null and (resource = $resource or env = split_part($resource, '/', 1))
        and type in ('command', 'test', 'ci_run', 'edit', 'usage')
),

changes as (
    select ts, type, event_id, pr_id, repo, sha, action, result, resource, env, coalesce(message, title, '') as text
    from staging.events
    where type in ('adjustment', 'schedule', 'commit', 'push', 'pr')

    union all

    select
        at as ts, change as type, event_id, null as pr_id, repo, null as sha, null as action, result, resource,
        null as env, text
    from features.application_changes
)

select
    ts,
    type, -- Kind of change: adjustment, annotation, schedule, deployment, flag, commit, push or pr.
    event_id,
    pr_id,
    repo,
    sha,
    action,
    result,
    left(text, 80) as text -- First 80 characters of the text.
from changes
where ts <= $began and ts > $began - interval '48 hours'
    and (
        (
            type in ('adjustment', 'annotation', 'schedule', 'deployment', 'flag')
            and (
                resource = $resource or resource = split_part($resource, '/', 1)
                or (resource is null and env = split_part($resource, '/', 1))
            )
        )
        or (type in ('commit', 'push', 'deployment') and repo in (select repo from repos))
        or (type = 'pr' and action in ('merged', 'opened') and repo in (select repo from repos))
    )
order by ts desc, event_id
limit 5
