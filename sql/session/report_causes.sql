-- One row per cause of contention or failure of the runs on the page, for `report`.
-- Reads marts.runs. Key: label.
-- Parameter since: timestamp
-- Parameter resource: text
select
    label,
    count(*) as runs, -- Number of runs. [> 0]
    sum(duration_ms) / 3600000.0 as hours, -- Total duration of the runs, hours.
    count(distinct job_key) as jobs -- Number of jobs with such runs. [> 0]
from marts.runs
where label is not null and label <> 'none' and not has_jobs and ($resource = '' or resource = $resource)
    and started_at >= $since
    and started_at <= (select now from session.clock)
group by label
order by runs desc, label
