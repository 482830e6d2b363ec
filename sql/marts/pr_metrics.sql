-- One row per pull request: how long each phase took, what was done, what it cost.
-- Reads traces.traces, traces.events, staging.events, marts.runs. Key: pr_id. Times in seconds; null where a phase has no end.
--   coding   first commit to opening             pickup  opening to the first reaction of somebody else
--   review   that reaction to the merge          cycle   first commit (or the opening, if earlier) to the merge
-- Only reviews and comments by somebody else than the author, before the merge, end the pickup phase: the author's own
-- comments, label changes and checks do not (DevLake once showed 331 h where it was 13 h).
with moments as (
    select
        t.pr_id,
        min(case when e.type = 'commit' then e.ts end) as first_commit_at,
        min(case
            when e.action in ('reviewed', 'approved', 'commented', 'review_commented')
                and e.developer <> t.developer and e.ts >= t.created_at and e.ts <= coalesce(t.merged_at, e.ts)
            then e.ts
        end) as first_reaction_at,
        min(case when e.action = 'approved' then e.ts end) as first_approval_at,
        -- A push repeats what its commits say. Doubles: one absurd count must not overflow the sum.
        coalesce(sum(case when e.type = 'commit' then cast(e.insertions as double) end), sum(cast(e.insertions as double))) as insertions,
        coalesce(sum(case when e.type = 'commit' then cast(e.deletions as double) end), sum(cast(e.deletions as double))) as deletions
    from traces.traces t
    join traces.events l on t.pr_id = l.pr_id
    join staging.events e on l.event_id = e.event_id
    group by t.pr_id
),

runs as (
    select
        pr_id,
        count(*) as runs,
        count(case when type = 'ci_run' then 1 end) as ci_runs,
        count(case when failed then 1 end) as failed_runs,
        sum(duration_ms) as run_ms,
        sum(queued_ms) as queued_ms,
        sum(cpu_ms) / 3600000.0 as core_hours,
        sum(cast(memory_peak_bytes as double) * duration_ms) / 1073741824.0 / 3600000.0 as gib_hours
    from marts.runs
    where pr_id is not null
    group by pr_id
)

select
    t.pr_id,
    t.trace_id,
    t.repo,
    t.status,
    t.created_at,
    t.merged_at,
    case
        when m.first_commit_at < t.created_at then to_unixtime(t.created_at) - to_unixtime(m.first_commit_at)
    end as coding_seconds,
    to_unixtime(m.first_reaction_at) - to_unixtime(t.created_at) as pickup_seconds,
    case
        when m.first_reaction_at <= t.merged_at then to_unixtime(t.merged_at) - to_unixtime(m.first_reaction_at)
    end as review_seconds,
    to_unixtime(t.merged_at) - to_unixtime(t.created_at) as merge_seconds,
    to_unixtime(t.merged_at) - to_unixtime(least(t.created_at, coalesce(m.first_commit_at, t.created_at))) as cycle_seconds,
    t.commits,
    t.comments,
    t.review_comments,
    t.reviews,
    m.insertions,
    m.deletions,
    coalesce(r.runs, 0) as runs,
    coalesce(r.ci_runs, 0) as ci_runs,
    coalesce(r.failed_runs, 0) as failed_runs,
    r.run_ms,
    r.queued_ms,
    r.core_hours,
    r.gib_hours
from traces.traces t
join moments m on t.pr_id = m.pr_id
left join runs r on t.pr_id = r.pr_id
order by t.pr_id
