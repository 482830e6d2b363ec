-- One row per run of that name, the latest first, for `explain`; a CI run may be named without its job.
-- Reads marts.runs. Key: repo, run_id, started_at.
-- Parameter run: text
select
    repo, -- Repository, `owner/name`.
    run_id, -- The run.
    started_at, -- When it began, UTC.
    job_key, -- Runs of one key repeat the same work.
    pr_id, -- Its pull request.
    branch, -- Its branch.
    result, -- How it ended.
    label, -- What explains how it went.
    duration_ms, -- How long it took, ms. [>= 0]
    cpu_ms, -- CPU time, ms. [>= 0]
    memory_peak_bytes, -- Largest memory use, bytes. [>= 0]
    cpu_limit_cores, -- CPU limit, cores. [>= 0]
    memory_limit_bytes, -- Memory limit, bytes. [>= 0]
    concat_ws(' ', repo, run_id, cast(started_at as varchar)) as unit_id -- Its row of features.contention.
from marts.runs
where
    $run in (run_id, concat(repo, '#', run_id), split_part(run_id, '/', 1), concat(repo, '#', split_part(run_id, '/', 1)))
    and ended_at <= (select now from session.clock)
order by started_at desc, repo, run_id
limit 100
