-- What a pull request cost: one row per pull request, the most expensive first. Times are in hours.
-- Reads marts.pr_metrics, marts.runs. `wasted_core_hours` is the CPU time of runs that failed for reasons unrelated to the
-- change: flakiness, preemption, OOM kills, or broken infrastructure.
-- Parameter repo: text, default null (all)
-- Parameter pr: text, default null (one pull request, owner/name#number)
-- chart: bar pr_id core_hours
with wasted as (
    select pr_id, sum(cast(cpu_ms as double)) / 3600000.0 as wasted
    from marts.runs
    where pr_id is not null and not has_jobs and failed
        and label in ('flaky', 'preempted', 'oom_kill', 'infrastructure')
    group by pr_id
)

select
    m.pr_id,
    m.status,
    round(m.cycle_seconds / 3600.0, 1) as cycle_h,
    round(m.coding_seconds / 3600.0, 1) as coding_h,
    round(m.pickup_seconds / 3600.0, 1) as pickup_h,
    round(m.review_seconds / 3600.0, 1) as review_h,
    m.runs,
    m.failed_runs,
    m.flaky_runs,
    round(m.ci_queued_ms / 3600000.0, 2) as ci_queue_h,
    round(m.ci_run_ms / 3600000.0, 2) as ci_run_h,
    round(m.core_hours, 2) as core_hours,
    round(m.gib_hours, 2) as gib_hours,
    round(m.held_core_hours, 2) as held_core_hours,
    round(m.held_gib_hours, 2) as held_gib_hours,
    round(coalesce(w.wasted, 0.0), 2) as wasted_core_hours
from marts.pr_metrics m
left join wasted w on m.pr_id = w.pr_id
where (cast($repo as varchar) is null or m.repo = cast($repo as varchar))
    and (cast($pr as varchar) is null or m.pr_id = cast($pr as varchar))
order by core_hours desc nulls last, ci_run_h desc nulls last, m.pr_id
limit 50
