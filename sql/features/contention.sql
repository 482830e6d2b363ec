-- One row per unit of work, which is an hour of a resource or a run with measured causes. The label states whether the unit
-- was contended.
-- Reads features.resource_hours, features.before_runs, marts.runs, plans.verdicts, plans.outcomes, session.clock.
-- Key: unit_id.
-- Every feature is known at starts_at, so only earlier hours of the resource are used. When a model is trained, past outcomes
-- of the same key are added, from labels known by then. A run is included once its label is known, because its cause may only
-- show in a later sample or rerun (marts.run_labels). The hour after the newest hour of each resource has no label yet;
-- `predict` predicts this label. A person's verdict on an adjustment replaces the measured labels of the day before the
-- verdict, as far as the adjustment was in force. The result of `verify` (better, worse) does the same if there is no such
-- verdict.
with hours as (
    select resource, hour, cpu_cores, cpu_cores_max, cpu_limit_cores, memory_bytes, memory_limit_bytes, throttled_ratio, contended
    from features.resource_hours

    union all

    select
        resource, max(hour) + interval '1 hour' as hour, null as cpu_cores, null as cpu_cores_max,
        null as cpu_limit_cores, null as memory_bytes, null as memory_limit_bytes, null as throttled_ratio,
        null as contended
    from features.resource_hours
    group by resource
),

seen as (
    -- The hour before, and the day and week before. The windows go by time, not by row, because a resource may be idle for
    -- some hours.
    select
        resource,
        hour,
        contended,
        max(cpu_cores / nullif(cpu_limit_cores, 0)) over last_hour as cpu_share_1h,
        max(cpu_cores_max / nullif(cpu_limit_cores, 0)) over last_hour as cpu_peak_share_1h,
        max(memory_bytes / nullif(memory_limit_bytes, 0)) over last_hour as memory_share_1h,
        max(throttled_ratio) over last_hour as throttled_1h,
        max(case when contended then 1.0 else 0.0 end) over last_hour as contended_1h,
        max(case when contended then 1.0 else 0.0 end) over day_before as contended_24h_ago,
        avg(case when contended then 1.0 else 0.0 end) over last_day as contended_rate_24h,
        max(cpu_cores_max / nullif(cpu_limit_cores, 0)) over last_day as cpu_peak_share_24h,
        max(memory_bytes / nullif(memory_limit_bytes, 0)) over last_day as memory_share_24h,
        avg(case when contended then 1.0 else 0.0 end) over last_week as contended_rate_168h,
        max(cpu_limit_cores) over last_day as cpu_limit_cores,
        max(memory_limit_bytes) over last_day as memory_limit_bytes
    from hours
    window
        last_hour as (partition by resource order by hour range between interval '1 hour' preceding and interval '1 hour' preceding),
        day_before as (partition by resource order by hour range between interval '24 hours' preceding and interval '24 hours' preceding),
        last_day as (partition by resource order by hour range between interval '24 hours' preceding and interval '1 hour' preceding),
        last_week as (partition by resource order by hour range between interval '168 hours' preceding and interval '1 hour' preceding)
),

runs as (
    select
        run_id,
        repo,
        job_key,
        resource,
        started_at,
        ended_at,
        known_at,
        contended,
        cpu_limit_cores,
        memory_limit_bytes,
        coalesce(src_churn, 0) + coalesce(test_churn, 0) as churn,
        developer as contributor,
        -- author_association of GitHub: people who are not known in the repository count less (see pipeline/docs/models.md).
        coalesce(from_fork, false)
        or coalesce(upper(author_association) in ('NONE', 'FIRST_TIMER', 'FIRST_TIME_CONTRIBUTOR', 'MANNEQUIN'), false)
            as stranger
    from marts.runs
    -- A run that was ended externally or by a timeout does not show how it would have ended.
    where contended is not null and label not in ('timeout', 'preempted', 'infrastructure')
        and known_at <= (select now from session.clock)
),

units as (
    select
        'hour' as unit,
        concat(s.resource, ' ', cast(s.hour as varchar)) as unit_id,
        s.resource as key,
        s.resource,
        s.hour as starts_at,
        s.hour + interval '1 hour' as known_at,
        s.contended as label,
        cast(null as double) as churn,
        cast(null as varchar) as contributor,
        false as stranger,
        s.cpu_limit_cores,
        s.memory_limit_bytes,
        s.cpu_share_1h, s.cpu_peak_share_1h, s.memory_share_1h, s.throttled_1h, s.contended_1h, s.contended_24h_ago,
        s.contended_rate_24h, s.cpu_peak_share_24h, s.memory_share_24h, s.contended_rate_168h
    from seen s

    union all

    select
        'run' as unit,
        concat_ws(' ', r.repo, r.run_id, cast(r.started_at as varchar)) as unit_id,
        r.job_key as key,
        r.resource,
        r.started_at as starts_at,
        r.known_at,
        r.contended as label,
        cast(r.churn as double) as churn,
        r.contributor,
        r.stranger,
        r.cpu_limit_cores,
        cast(r.memory_limit_bytes as double) as memory_limit_bytes,
        s.cpu_share_1h, s.cpu_peak_share_1h, s.memory_share_1h, s.throttled_1h, s.contended_1h, s.contended_24h_ago,
        s.contended_rate_24h, s.cpu_peak_share_24h, s.memory_share_24h, s.contended_rate_168h
    from runs r
    left join seen s on r.resource = s.resource and date_trunc('hour', r.started_at) = s.hour
),

said as (
    -- Verdicts of people take precedence over the results of `verify`, because people observed the effect.
    select
        'feedback' as source, event_id, resource, verdict = 'slowed-down' as contended, applied_at, rolled_back_at, given_at
    from plans.verdicts
    where verdict in ('helpful', 'slowed-down') and given_at <= (select now from session.clock)

    union all

    select
        'outcome' as source, event_id, resource, result = 'worse' as contended, applied_at, rolled_back_at, ts as given_at
    from plans.outcomes
    where type = 'outcome' and result in ('better', 'worse') and ts <= (select now from session.clock)
),

judged as (
    select
        u.unit_id,
        first_value(s.contended order by s.source, s.given_at desc, s.event_id) as contended,
        min(s.source) as source,
        -- Time of the source that counts, so that an outcome found later does not delay a verdict.
        first_value(s.given_at order by s.source, s.given_at desc, s.event_id) as given_at
    from units u
    join said s
        on u.resource = s.resource
        and u.starts_at >= s.applied_at
        and u.starts_at >= s.given_at - interval '1 day'
        and u.starts_at < least(s.given_at, coalesce(s.rolled_back_at, s.given_at))
    group by u.unit_id
)

select
    u.unit, -- Kind of unit. [one of: run, hour]
    u.unit_id, -- Identifier of the unit. [not null]
    u.key, -- Resource of an hour, or job key of a run.
    u.starts_at, -- Start time of the unit, UTC. Every feature is known by then. [not null]
    coalesce(j.given_at, u.known_at) as known_at, -- Time at which the label became known.
    coalesce(j.contended, u.label) as label, -- Whether the unit was contended: killed or throttled by its limits, or stalled by neighbours. Null if the label is not known yet and is to be predicted.
    coalesce(j.source, 'measured') as label_source, -- Source of the label: a measurement, a person's verdict, or the result of `verify`. [one of: measured, feedback, outcome]
    u.label as measured, -- Measured label, regardless of later verdicts.
    u.contributor, -- Person who started the run, as a keyed hash; null for an hour.
    u.stranger, -- Whether the run came from a fork, or from a person who is not known in the repository.
    case u.unit when 'run' then 1.0 else 0.0 end as is_run, -- 1 for a run, 0 for an hour.
    cast(date_part('hour', u.starts_at) as double) as hour_of_day, -- Hour of the start time, UTC. [0 to 23]
    cast(date_part('dow', u.starts_at) as double) as day_of_week, -- Weekday of the start time; 0 is Sunday. [0 to 6]
    u.churn, -- Changed lines of source and tests in the change that the run builds.
    u.cpu_limit_cores, -- CPU limit, cores.
    u.memory_limit_bytes, -- Memory limit, bytes.
    b.job_runs, -- Number of finished runs of the job in the 30 days before.
    u.cpu_limit_cores / nullif(b.job_cpu_cores, 0) as cpu_limit_over_job, -- CPU limit divided by the highest mean CPU use among these runs.
    u.memory_limit_bytes / nullif(b.job_memory_bytes, 0) as memory_limit_over_job, -- Memory limit divided by the highest memory peak among these runs.
    b.neighbours, -- Number of other resources in the environment that were sampled when the run began.
    b.neighbours_cpu_cores, -- CPU use of these neighbours, cores.
    b.neighbours_memory_bytes, -- Memory use of these neighbours, bytes.
    b.neighbours_io_bytes_per_s, -- I/O rate of these neighbours, bytes a second.
    u.cpu_share_1h, -- Mean CPU use divided by the CPU limit, in the hour before.
    u.cpu_peak_share_1h, -- Largest CPU use divided by the CPU limit, in the hour before.
    u.memory_share_1h, -- Largest memory use divided by the memory limit, in the hour before.
    u.throttled_1h, -- Share of throttled CFS periods, in the hour before.
    u.contended_1h, -- Whether the resource was contended in the hour before.
    u.contended_24h_ago, -- Whether the resource was contended in the same hour of the day before.
    u.contended_rate_24h, -- Share of contended hours in the day before.
    u.cpu_peak_share_24h, -- Largest CPU use divided by the CPU limit, in the day before.
    u.memory_share_24h, -- Largest memory use divided by the memory limit, in the day before.
    u.contended_rate_168h -- Share of contended hours in the week before.
from units u
left join judged j on u.unit_id = j.unit_id
left join features.before_runs b on u.unit_id = b.unit_id
order by u.starts_at, u.unit_id
