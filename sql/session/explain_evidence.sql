-- One row per usage sample that shows a bottleneck of a resource, for `explain`. At most five samples are shown, samples with
-- kills first, then the newest.
-- Reads marts.usage. Bottlenecks: `cpu`, `memory`, `io`, `waiting`.
-- Parameter resource: text
-- Parameter bottleneck: text
with shown as (
    select *
    from marts.usage
    where resource = $resource and ts <= (select now from session.clock)
        and case cast($bottleneck as varchar)
            when 'cpu' then coalesce(throttled_ratio, 0) >= 0.25 or coalesce(cpu_share, 0) >= 0.95
            when 'memory' then coalesce(oom_kills, 0) > 0 or coalesce(psi_memory_some, 0) >= 0.1 or coalesce(memory_share, 0) >= 0.98
            when 'io' then coalesce(psi_io_some, 0) >= 0.1 and coalesce(psi_memory_some, 0) < 0.1
            when 'waiting' then coalesce(psi_cpu_some, 0) >= 0.1
            else false
        end
),

spells as (
    select
        *,
        lag(ts) over (order by ts) as before
    from shown
)

select
    ts,
    interval_s,
    cpu_cores,
    cpu_limit_cores,
    throttled_ratio,
    memory_bytes,
    memory_limit_bytes,
    oom_kills,
    psi_cpu_some,
    psi_memory_some,
    psi_io_some,
    event_id,
    max(case when before is null or ts - before > interval '24 hours' then ts end) over () as began -- Start of the newest spell: its first sample after a day without such samples.
from spells
order by coalesce(oom_kills, 0) desc, ts desc
limit 5
