-- One row per run and cause of its result: the label of the cause, and when the label could first be known.
-- Reads marts.run_reports, marts.reruns, marts.usage, staging.events. Key: event_id, label.
-- A row depends on its run, and on the usage samples and notes of its resource from the start of the run to an hour
-- after its end, but over two days at most.
-- Partition: event_date
-- Follows: marts.run_reports, marts.reruns, marts.usage +3 days, staging.events +3 days
--
-- The rules are defined in this file. A run may have several causes: `rank` determines which cause counts, and
-- marts.runs shows that cause. Measured causes come first, because they hold regardless of how the run ended.
-- External causes, which no change of code or limits can remove, come next. Causes derived from the result come last.
-- A label may not be used before its known_at.
with causes as (
    select label, rank
    from (values
        ('oom_kill', 1), ('memory_pressure', 2), ('cpu_throttled', 3), ('io_stall', 4), ('noisy_neighbour', 5), ('preempted', 6),
        ('infrastructure', 7), ('timeout', 8), ('flaky', 9), ('none', 10)
    ) ranks (label, rank)
),

-- Measurements of the machine during the run, because no run reports all of them itself. They are joined by resource and
-- hour, so that the cost grows with the number of runs and of their samples, and not with the product of the two.
hours as (
    select
        event_id, resource, failed,
        arrow_cast(started_at, 'Int64') / 1e6 as began_s,
        arrow_cast(ended_at, 'Int64') / 1e6 as ended_s,
        -- Two days are enough, because anything that runs longer is a service.
        unnest(range(
            arrow_cast(started_at, 'Int64') / 3600000000,
            least(arrow_cast(ended_at, 'Int64'), arrow_cast(started_at, 'Int64') + 172800000000) / 3600000000 + 2
        )) as hour
    from marts.run_reports
    where resource is not null
),

samples as (
    select
        resource,
        ts,
        arrow_cast(ts, 'Int64') / 3600000000 as hour,
        arrow_cast(ts, 'Int64') / 1e6 - interval_s as began_s,
        arrow_cast(ts, 'Int64') / 1e6 as ended_s,
        interval_s, throttled_ratio, psi_cpu_full, psi_memory_some, psi_io_some, oom_kills,
        cast(null as varchar) as note
    from marts.usage
    where interval_s > 0 and interval_s <= 3600 -- longer samples reveal too little about one run

    union all

    select
        coalesce(resource, env) as resource,
        ts,
        arrow_cast(ts, 'Int64') / 3600000000 as hour,
        arrow_cast(ts, 'Int64') / 1e6 as began_s,
        arrow_cast(ts, 'Int64') / 1e6 as ended_s,
        null as interval_s, null as throttled_ratio, null as psi_cpu_full, null as psi_memory_some, null as psi_io_some, null as oom_kills,
        lower(note) as note
    from staging.events
    where type = 'annotation' and coalesce(resource, env) is not null
),

beside as (
    select
        r.event_id,
        s.ts,
        r.ended_s - r.began_s as run_s,
        greatest(0, least(s.ended_s, r.ended_s) - greatest(s.began_s, r.began_s)) as shared_s,
        -- A sample more than twice as long as the run reveals more about other work than about the run.
        coalesce(s.interval_s <= 2 * (r.ended_s - r.began_s), false) as fits,
        s.throttled_ratio, s.psi_cpu_full, s.psi_memory_some, s.psi_io_some,
        -- The kill that ended the run lies in the sample in which the run ended, provided that the sample is short enough.
        coalesce(r.failed and s.oom_kills > 0 and s.interval_s <= 900 and r.ended_s between s.began_s and s.ended_s, false)
            or coalesce(r.failed and s.note like '%oomkilled%', false) as killed,
        coalesce(r.failed and (s.note like '%preempt%' or s.note like '%evicted%' or s.note like '%spot interruption%'), false)
            as preempted
    from hours r
    join samples s on r.resource = s.resource and r.hour = s.hour
    -- The notice of a kill or an eviction may arrive minutes later.
    where s.ended_s >= r.began_s and s.began_s <= r.ended_s + 600
),

observed as (
    select
        event_id,
        max(case when killed then ts end) as killed_seen_at,
        min(case when preempted then ts end) as preempted_seen_at,
        max(case when fits and shared_s > 0 then ts end) as measured_at,
        -- Means over the run, as the run itself would have measured them. They exist only if the samples cover half of the
        -- run.
        case when sum(case when fits and throttled_ratio is not null then shared_s end) >= 0.5 * max(run_s)
            then sum(case when fits then throttled_ratio * shared_s end)
                / nullif(sum(case when fits and throttled_ratio is not null then shared_s end), 0) end as throttled_ratio,
        case when sum(case when fits and psi_cpu_full is not null then shared_s end) >= 0.5 * max(run_s)
            then sum(case when fits then psi_cpu_full * shared_s end)
                / nullif(sum(case when fits and psi_cpu_full is not null then shared_s end), 0) end as psi_cpu_full,
        case when sum(case when fits and psi_memory_some is not null then shared_s end) >= 0.5 * max(run_s)
            then sum(case when fits then psi_memory_some * shared_s end)
                / nullif(sum(case when fits and psi_memory_some is not null then shared_s end), 0) end as psi_memory_some,
        case when sum(case when fits and psi_io_some is not null then shared_s end) >= 0.5 * max(run_s)
            then sum(case when fits then psi_io_some * shared_s end)
                / nullif(sum(case when fits and psi_io_some is not null then shared_s end), 0) end as psi_io_some
    from beside
    group by event_id
),

facts as (
    select
        r.event_id, r.repo, r.run_id, r.started_at, r.failed, r.outcome, r.exit_code, r.is_engine, r.oom_killed, r.memory_share, r.ended_at, p.passed_at,
        r.event_date,
        r.says_oom, r.says_preempted, r.says_infrastructure, o.killed_seen_at, o.preempted_seen_at,
        coalesce(r.throttled_ratio, o.throttled_ratio) as throttled_ratio,
        o.psi_cpu_full,
        coalesce(r.psi_memory_some, o.psi_memory_some) as psi_memory_some,
        coalesce(r.psi_io_some, o.psi_io_some) as psi_io_some,
        -- Time at which the last of these figures was available: the end of the run, or the sample that covers its end.
        case when o.psi_cpu_full is not null
                or r.throttled_ratio is null or r.psi_memory_some is null or r.psi_io_some is null
            then greatest(r.ended_at, o.measured_at) else r.ended_at end as measured_at
    from marts.run_reports r
    left join observed o on r.event_id = o.event_id
    left join marts.reruns p on r.event_id = p.event_id
),

judged as (
    select
        event_id, repo, run_id, started_at, event_date, failed, outcome, ended_at, passed_at, measured_at, throttled_ratio, psi_cpu_full, psi_memory_some, psi_io_some,
        killed_seen_at, preempted_seen_at, says_preempted, says_oom, oom_killed,
        -- The kernel killed the run. Exit code 137 means SIGKILL from any sender; at the memory limit, the sender was the
        -- kernel.
        coalesce(oom_killed, false) or says_oom
            or (oom_killed is null and killed_seen_at is not null)
            or (oom_killed is null and coalesce(exit_code = 137 and memory_share >= 0.98, false)) as oom_kill,
        -- Some task waited for memory for a tenth of the time, so reclaim has become part of the work.
        coalesce(psi_memory_some >= 0.1, false) as memory_pressure,
        -- A quarter of the CFS periods were throttled: each burst waits up to 100 ms.
        coalesce(throttled_ratio >= 0.25, false) as cpu_throttled,
        -- Builds wait for the disk now and then, but a third of the time is more than that.
        coalesce(psi_io_some >= 0.3, false) as io_stall,
        -- All tasks of the run waited for a processor for a fifth of the time, beyond what its own limit explains. A limit
        -- throttles a run in no more than the throttled share of its periods, so other work used the processor the rest of
        -- the time.
        coalesce(psi_cpu_full - coalesce(throttled_ratio, 0) >= 0.2, false) as noisy_neighbour,
        -- The run reported a preemption, or it got SIGKILL although the kernel is known to have killed nothing.
        coalesce(failed or outcome = 'cancellation', false) and (
            says_preempted or preempted_seen_at is not null
            or coalesce(exit_code = 137 and not oom_killed and killed_seen_at is null, false)
        ) as preempted,
        -- `error` is an error of the CI system, and `failure` is a failure of the work (OpenTelemetry, cicd.pipeline.result).
        -- Exit code 125 is a failure of the container engine. Exit codes 126 and 127 are excluded, because a misspelt command
        -- is not an infrastructure failure.
        failed and (
            says_infrastructure or outcome = 'error'
            or coalesce(exit_code = 125 and is_engine, false)
        ) as infrastructure,
        -- timeout(1) exits with code 124.
        coalesce(outcome = 'timeout', false) or coalesce(exit_code = 124, false) as timeout,
        coalesce(psi_cpu_full, psi_memory_some, psi_io_some, throttled_ratio) is not null or oom_killed is not null as measured
    from facts
),

-- Every run is combined with each of the ten causes: ten rows per run, regardless of the history.
explained as (
    select
        j.event_id,
        j.repo,
        j.run_id,
        j.started_at,
        j.event_date,
        c.label,
        c.rank,
        case c.label
            when 'oom_kill' then j.oom_kill
            when 'memory_pressure' then j.memory_pressure
            when 'cpu_throttled' then j.cpu_throttled
            when 'io_stall' then j.io_stall
            when 'noisy_neighbour' then j.noisy_neighbour
            when 'preempted' then j.preempted
            when 'infrastructure' then j.infrastructure and not j.preempted
            when 'timeout' then j.timeout
            -- Whether the run is flaky: it failed, and the same work passed on the same commit. A failure with an external
            -- cause is not flaky.
            when 'flaky' then j.failed and j.passed_at is not null and not j.preempted and not j.infrastructure
            -- The resource use of the run was measured, and no resource was contended.
            when 'none' then j.measured and not (j.oom_kill or j.memory_pressure or j.cpu_throttled or j.io_stall or j.noisy_neighbour)
        end as holds,
        case c.label
            when 'oom_kill' then case
                when j.oom_killed or j.says_oom or j.killed_seen_at is null then j.ended_at
                else greatest(j.ended_at, j.killed_seen_at)
            end
            when 'preempted' then case
                when j.says_preempted or j.preempted_seen_at is null then j.ended_at
                else greatest(j.ended_at, j.preempted_seen_at)
            end
            when 'flaky' then greatest(j.ended_at, j.passed_at)
            when 'memory_pressure' then j.measured_at
            when 'cpu_throttled' then j.measured_at
            when 'io_stall' then j.measured_at
            when 'noisy_neighbour' then j.measured_at
            when 'none' then j.measured_at
            else j.ended_at
        end as known_at,
        case c.label
            when 'oom_kill' then case
                when j.oom_killed then 'the run was killed for memory'
                when j.says_oom then 'its output names the kill'
                when j.killed_seen_at is not null then 'its resource had a kill when it ended'
                else 'SIGKILL at the memory limit'
            end
            when 'memory_pressure' then concat('waited for memory ', try_cast(round(100 * j.psi_memory_some) as bigint), ' % of the time')
            when 'cpu_throttled' then concat('throttled in ', try_cast(round(100 * j.throttled_ratio) as bigint), ' % of its periods')
            when 'io_stall' then concat('waited for the disk ', try_cast(round(100 * j.psi_io_some) as bigint), ' % of the time')
            when 'noisy_neighbour' then concat('others had the processor ', try_cast(round(100 * j.psi_cpu_full) as bigint), ' % of the time')
            when 'preempted' then case
                when j.says_preempted then 'its output says so'
                when j.preempted_seen_at is not null then 'a note on its resource says so'
                else 'SIGKILL, and not for memory'
            end
            when 'infrastructure' then case
                when j.outcome = 'error' then 'the CI system failed, not the work'
                else 'its output names the cause'
            end
            when 'timeout' then 'it ran out of its time'
            when 'flaky' then concat('passed on the same commit at ', cast(j.passed_at as varchar))
            else 'measured, not contended'
        end as evidence
    from judged j
    cross join causes c
)

select
    event_id, -- Event in staging.events that reports the run. [not null; in staging.events.event_id]
    repo, -- Repository, `owner/name`; empty if unknown.
    run_id, -- Identifier of the run, as in marts.runs. [not null]
    started_at, -- Start time of the run.
    label, -- Label of the cause. [one of: oom_kill, memory_pressure, cpu_throttled, io_stall, noisy_neighbour, preempted, infrastructure, timeout, flaky, none]
    rank, -- Rank of the cause among several causes; the cause with the smallest rank counts. [1 to 10]
    known_at, -- Time at which the label could first be known; the label may not be used earlier. [not null]
    evidence, -- Evidence for the cause, as a sentence.
    event_date -- UTC day of the start of the run: the partition column. [not null]
from explained
where holds
order by event_date, event_id, rank
