-- One row per job that ran for a pull request, for `report --pr`. At most fifty jobs are shown, those with the longest total
-- duration first.
-- Reads marts.runs. Key: job_key.
-- Parameter pr: text
select
    job_key,
    count(*) as runs, -- Number of runs. [> 0]
    sum(case when failed then 1 else 0 end) as failed, -- Number of failed runs. [>= 0]
    sum(case when flaky then 1 else 0 end) as flaky, -- Number of flaky runs. [>= 0]
    sum(duration_ms) / 3600000.0 as total_hours, -- Total duration, hours.
    sum(cast(cpu_ms as double)) / 3600000.0 as core_hours, -- CPU time used, core-hours.
    max(memory_peak_bytes) as peak_memory_bytes, -- Largest memory use, bytes.
    max(memory_limit_bytes) as limit_memory_bytes, -- Largest memory limit, bytes.
    max(label) as cause -- One of the causes of contention or failure.
from marts.runs
where pr_id = $pr and not has_jobs
group by job_key
order by total_hours desc, job_key
limit 50
