-- One row per CI run that is a whole workflow run with its jobs reported as separate runs. The time of such a run is
-- already included in the time of its jobs.
-- Reads marts.run_reports. Key: event_id. A row depends on the jobs of its run (repo, workflow_run) within three
-- days.
-- Partition: event_date
-- Follows: marts.run_reports ±3 days by workflow_run
select
    w.event_id, -- Event of the workflow run. [not null; in marts.run_reports.event_id]
    w.event_date -- UTC day of the start of the workflow run: the partition column. [not null]
from marts.run_reports w
left semi join marts.run_reports j
    on w.repo = j.repo and w.workflow_run = j.workflow_run and j.job is not null
    and j.started_at between w.started_at - interval '3 days' and w.started_at + interval '3 days'
where w.workflow_run is not null and w.job is null
order by w.event_date, w.event_id
