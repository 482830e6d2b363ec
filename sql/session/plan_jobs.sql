-- One row per job with runs in the last 30 days, for the advice of `plan`: how long the runs took, how much they used, and
-- how long they waited for each resource.
-- Reads marts.runs. Key: job_key.
select
    job_key,
    min(repo) as repo, -- Repository of the job.
    min(command) as command, -- Command of the job.
    count(*) as runs, -- Number of runs. [> 0]
    approx_percentile_cont(duration_ms, 0.9) as p90_ms, -- 90th percentile of the duration, ms.
    sum(duration_ms) as total_ms, -- Total duration, ms.
    sum(cpu_ms) / nullif(sum(case when cpu_ms is not null then duration_ms end), 0) as cores, -- Mean CPU use, cores.
    max(cpu_limit_cores) as limit_cores, -- Largest CPU limit, cores.
    avg(psi_io_some) as disk, -- Mean share of the time in which some task waited for a disk.
    avg(psi_memory_some) as memory, -- Mean share of the time in which some task waited for memory.
    avg(psi_cpu_some) as cpu, -- Mean share of the time in which some task waited for a processor.
    avg(throttled_ratio) as throttled, -- Mean share of throttled CFS periods.
    min(kind) as kind -- Kind of work.
from marts.runs
where not has_jobs and duration_ms > 0 and started_at <= (select now from session.clock)
    and started_at > (select now from session.clock) - interval '30 days'
group by job_key
order by total_ms desc
