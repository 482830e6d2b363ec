-- One row per run as the run itself reported it: a command, a test or a CI run, without data from other sources.
-- Reads staging.events. Key: repo, run_id, started_at.
-- If a CI run was reported several times, the report with the latest end is kept. A rerun under the same number began
-- at another time and is a separate run. Jobs with the same name and start time (a matrix) are distinguished by their
-- own numbers (job_id in the payload). A job that a rerun took over unchanged has a new number but is the same job.
-- Runs with the same number in several workflows are different runs. Only this file defines what a run is.
-- Partition: event_date
-- Follows: staging.events
with told as (
    select
        event_id,
        coalesce(repo, '') as repo,
        type,
        case when type = 'ci_run' then run_id end as workflow_run,
        case when type = 'ci_run' then concat_ws('/', run_id, job) else event_id end as own_id,
        workflow,
        job,
        case when type = 'ci_run' and job is not null then lpad(json_as_text(payload, 'job_id'), 64, '0') end as job_number,
        case when type = 'ci_run' and job is not null then json_as_text(payload, 'run_attempt') end as attempt,
        concat_ws('/', workflow, job, command) as work,
        -- The text is searched before it is parsed as JSON, because searching is cheaper.
        coalesce(sha, case
            when payload like '%sha"%' then coalesce(json_get_str(payload, 'sha'), json_get_str(payload, 'head_sha'))
        end) as sha,
        case when payload like '%"commit"%' then json_get_str(payload, 'commit') end as lay_on,
        coalesce(resource, env) as resource,
        ts as started_at,
        -- A duration counts as at most a year, so that the end stays a valid time.
        ts + arrow_cast(least(coalesce(duration_ms, 0), 31536000000) * 1000, 'Duration(Microsecond)') as ended_at,
        duration_ms,
        coalesce(result, case when exit_code = 0 then 'success' when exit_code <> 0 then 'failure' end) as outcome,
        coalesce(exit_code, case when payload like '%"exit_code"%' then json_get_int(payload, 'exit_code') end) as exit_code,
        -- Commands of the container engine report failures of the engine.
        coalesce(command like 'docker %' or command like 'podman %', false) as is_engine,
        oom_killed,
        throttled_ratio,
        psi_memory_some,
        psi_io_some,
        cast(memory_peak_bytes as double) / nullif(memory_limit_bytes, 0) as memory_share,
        stdout_sample,
        payload,
        event_date
    from staging.events
    where type in ('command', 'test', 'ci_run')
),

-- Only CI runs are reported twice. A command or a test is identical to its event.
twins as (
    select
        event_id, repo, own_id, started_at, workflow, duration_ms, job_number,
        -- Which of the jobs that look the same this job is; null if there is no job number.
        case when job_number is not null then concat_ws(' ', duration_ms, outcome, dense_rank() over (
            partition by repo, own_id, started_at, attempt, duration_ms, outcome order by job_number
        )) end as twin,
        max(job_number) over (partition by repo, own_id, started_at, workflow) as is_numbered
    from told
    where type = 'ci_run'
),

chosen as (
    select
        *,
        row_number() over (
            partition by repo, own_id, started_at, workflow, twin
            order by duration_ms desc nulls last, job_number, event_id
        ) as newest
    from twins
    where job_number is not null or is_numbered is null
),

counted as (
    select
        event_id,
        row_number() over (partition by repo, own_id, started_at order by job_number, workflow, event_id) as place,
        count(*) over (partition by repo, own_id, started_at, workflow) as twins
    from chosen
    where newest = 1
),

said as (
    select
        t.*,
        coalesce(c.twins, 1) as twins,
        case when c.place > 1 then concat(t.own_id, ' #', c.place) else t.own_id end as run_id,
        -- The output of a run counts only if the run failed, because a run that passed may test how it handles such messages.
        case when outcome <> 'success' then lower(concat_ws(
            ' ', coalesce(stdout_sample, json_get_str(payload, 'stdout_sample')), json_as_text(payload, 'error'),
            json_as_text(payload, 'failure_reason'), json_as_text(payload, 'annotations')
        )) end as said
    from told t
    left join counted c on t.event_id = c.event_id
    where t.type <> 'ci_run' or c.event_id is not null
),

heard as (
    select
        *,
        coalesce(said like '%oomkilled%' or said like '%out of memory: killed process%', false) as says_oom,
        -- The machine was taken away. A GitHub runner prints 'shutdown signal' when a spot instance sends SIGTERM.
        coalesce(
            said like '%preempt%' or said like '%spot instance%' or said like '%spot interruption%' or said like '%evicted%'
            or said like '%received a shutdown signal%',
            false
        ) as says_preempted,
        coalesce(
            -- The runner or its host disappeared.
            said like '%lost communication with the server%' or said like '%runner lost%' or said like '%runner has gone%'
            or said like '%runner system failure%' or said like '%cannot connect to the docker daemon%'
            -- The disk of the machine is full, which a test does not cause.
            or said like '%no space left on device%'
            -- Network failures between the runner and the servers that it fetches from.
            or said like '%could not resolve host%' or said like '%temporary failure in name resolution%'
            or said like '%tls handshake timeout%' or said like '%failed to pull image%' or said like '%imagepullbackoff%'
            or said like '%toomanyrequests%' or said like '%502 bad gateway%' or said like '%503 service unavailable%',
            false
        ) as says_infrastructure
    from said
)

select
    event_id, -- Event in staging.events that reports the run. [not null; in staging.events.event_id]
    repo, -- Repository, `owner/name`; empty if unknown. [not null]
    type, -- Type of the run. [not null; one of: command, test, ci_run]
    run_id, -- Run number and job of a CI run, with the suffix `#2`, … for further jobs with the same name and start time; for any other run, the event. [not null]
    twins, -- Number of jobs in the workflow with the same name and start time, including this job. Which of these jobs another run repeats is unknown. [>= 1]
    workflow_run, -- Number of the workflow run.
    job, -- Job of a workflow run.
    work, -- Workflow, job and command of the run. [not null]
    sha, -- Commit on which the run was executed.
    coalesce(sha, lay_on) as head_sha, -- Same as sha, or else the commit that was checked out, possibly with uncommitted changes.
    resource, -- Container or service in which the run was executed; the environment if no resource is named.
    started_at, -- Start time, UTC. [not null]
    ended_at, -- End time, UTC. [not null]
    outcome, -- Result as an OpenTelemetry term; for a command, derived from the exit code.
    coalesce(outcome in ('failure', 'error', 'timeout'), false) as failed, -- Whether the run failed (failure, error or timeout). [not null]
    exit_code, -- Exit code of the run.
    is_engine, -- Whether the run is a command of a container engine. [not null]
    oom_killed, -- Whether the kernel killed the run because it ran out of memory (OOM kill).
    throttled_ratio, -- Share of CFS periods that were throttled, as reported by the run. [0 to 1]
    psi_memory_some, -- Share of the run in which some task waited for memory, as reported by the run (PSI). [0 to 1]
    psi_io_some, -- Share of the run in which some task waited for a disk, as reported by the run (PSI). [0 to 1]
    memory_share, -- Peak memory divided by the limit. [>= 0]
    says_oom, -- Whether the output of the run reports an OOM kill. [not null]
    says_preempted, -- Whether the output of the run reports that the machine was preempted. [not null]
    says_infrastructure, -- Whether the output of the run reports an infrastructure failure. [not null]
    event_date -- UTC day of the start of the run: the partition column. [not null]
from heard
order by event_date, event_id
