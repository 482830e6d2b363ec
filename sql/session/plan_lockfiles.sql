-- One row per lock file that was committed in the last 30 days: the number of days on which it changed, compared with the
-- days with commits, for the advice of `plan`.
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
    count(distinct f.event_date) as days, -- Number of days on which the lock file changed. [> 0]
    max(a.days) as of_days -- Number of days with commits in the repository. [> 0]
from committed f
join active a on f.repo = a.repo
where f.role = 'lockfile'
group by f.repo, f.path
order by f.repo, f.path
