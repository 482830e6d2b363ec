-- One row per lock file that was committed in the last 30 days: on how many days, beside the days with commits, for the advice of `plan`.
-- Reads marts.changed_files. Key: repo, path.
with committed as (
    select *
    from marts.changed_files
    where type in ('commit', 'push') and ts > (select now from session.clock) - interval '30 days'
        and ts <= (select now from session.clock)
),

active as (
    select repo, count(distinct event_date) as days
    from committed
    group by repo
)

select
    f.repo,
    f.path,
    count(distinct f.event_date) as days, -- Days on which it changed. [> 0]
    max(a.days) as of_days -- Days with commits in its repository. [> 0]
from committed f
join active a on f.repo = a.repo
where f.role = 'lockfile'
group by f.repo, f.path
order by f.repo, f.path
