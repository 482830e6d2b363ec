-- One row per job whose recorded runs counted added packages in the last 30 days: how often the runs fetched packages, for
-- the advice of `plan`.
-- Reads staging.events, marts.runs. Key: job_key.
select
    r.job_key,
    count(*) as recorded, -- Number of runs with a count. [> 0]
    sum(case when json_get_int(e.payload, 'packages_added') > 0 then 1 else 0 end) as fetched, -- Number of runs that added packages. [>= 0]
    sum(json_get_int(e.payload, 'packages_added')) as packages -- Number of added packages. [>= 0]
from staging.events e
join marts.runs r on e.event_id = r.event_id
where e.type in ('command', 'test') and e.payload like '%"packages_added"%'
    and e.ts > (select now from session.clock) - interval '30 days' and e.ts <= (select now from session.clock)
group by r.job_key
