-- One row per pull request: the duration of each phase, the activity, and the cost.
-- Reads traces.traces, traces.events, marts.runs. Key: pr_id.
-- A row depends on the trace and the runs of its pull request (pr_id).
-- Partition: trace_date
-- Follows: traces.traces, traces.events, marts.runs by pr_id
--
-- The phases are those of Apache DevLake's pull-request metrics (coding, pickup, review) and of LinearB's cycle time,
-- with the errors of both corrected. The test cases are in tests/sql/marts/pr_metrics. For a pull request with a
-- reaction and a merge, the phases add up exactly: cycle = coding + pickup + review + away (in DevLake #4562, the sum
-- differed by a second). Times are in seconds between UTC timestamps. A phase that has not ended is null, never 0.
with moves as (
    select
        e.pr_id,
        e.seq,
        e.ts,
        e.type,
        e.action,
        e.developer,
        e.sha,
        json_get_str(e.payload, 'message') as message,
        e.insertions,
        e.deletions,
        t.created_at,
        t.merged_at,
        t.developer as author,
        -- A rebase rewrites the commit time and keeps the author time.
        arrow_try_cast(json_get_str(e.payload, 'authored_at'), 'Timestamp(Microsecond, Some("UTC"))') as authored_at,
        -- A comment that a bot writes within seconds does not count as a pickup (DevLake #8974: pickup times near zero).
        coalesce(json_get_bool(e.payload, 'by_bot'), false) as by_bot,
        case
            when e.action in ('closed', 'merged') then true
            when e.action in ('opened', 'reopened') then false
        end as closes,
        case
            when e.action in ('convert_to_draft', 'converted_to_draft') then true
            when e.action = 'ready_for_review' then false
        end as drafts
    from traces.events e
    join traces.traces t on e.pr_id = t.pr_id
    where e.type in ('pr', 'commit', 'push') and e.action is distinct from 'snapshot'
),

-- State of the pull request at each event. While it was closed or a draft, nobody was asked to look at it. If the first draft
-- event of a pull request is "ready", the pull request was opened as a draft.
stands as (
    select
        *,
        coalesce(last_value(closes) ignore nulls over so_far, false)
            or coalesce(
                last_value(drafts) ignore nulls over so_far,
                not first_value(drafts) ignore nulls over (
                    partition by pr_id order by seq rows between unbounded preceding and unbounded following
                ),
                false
            ) as away,
        lead(ts) over (partition by pr_id order by seq) as next_at
    from moves
    window so_far as (partition by pr_id order by seq rows between unbounded preceding and current row)
),

moments as (
    select
        pr_id,
        min(case when type = 'commit' and ts <= created_at then ts end) as committed_at,
        -- After a force push, all commits may be newer than the opening. In that case the author times show when the work
        -- began.
        min(case when type = 'commit' and authored_at <= created_at then authored_at end) as authored_at,
        -- The first reaction of another person, between the opening and the merge, while the pull request was open and not a
        -- draft. Comments by the author, labels, requests and checks are not reactions. The time is the time of the comment,
        -- not of its last edit (DevLake #6367: an edit turned 13 h into 331 h).
        min(case
            when action in ('reviewed', 'approved', 'commented', 'review_commented')
                and developer <> author and not by_bot and not away
                and ts >= created_at and ts <= coalesce(merged_at, ts)
            then ts
        end) as first_reaction_at,
        min(case when action = 'approved' and not by_bot and ts <= coalesce(merged_at, ts) then ts end) as approved_at,
        count(case when action = 'approved' and not by_bot and ts <= coalesce(merged_at, ts) then 1 end) as approvals,
        count(distinct case
            when action in ('reviewed', 'approved', 'review_commented') and developer <> author and not by_bot
                and ts <= coalesce(merged_at, ts)
            then developer
        end) as reviewers,
        count(case when action in ('head_ref_force_pushed', 'force_pushed') then 1 end) as force_pushes,
        count(case when action = 'reopened' then 1 end) as reopenings
    from stands
    group by pr_id
),

-- Time for which the pull request was closed or a draft between its opening and its merge, before and after the first
-- reaction.
away as (
    select
        s.pr_id,
        sum(greatest(0, to_unixtime(least(s.next_at, m.first_reaction_at, s.merged_at)) - to_unixtime(greatest(s.ts, s.created_at))))
            as before_reaction,
        sum(case
            when m.first_reaction_at is not null
            then greatest(0, to_unixtime(least(s.next_at, s.merged_at)) - to_unixtime(greatest(s.ts, m.first_reaction_at)))
        end) as after_reaction
    from stands s
    join moments m on s.pr_id = m.pr_id
    where s.away and s.next_at is not null
    group by s.pr_id
),

-- A commit counts once, even if several sources report it or a rebase rewrote it several times, because a rebase keeps the
-- author time and the message. The counts are doubles, so that one absurd count cannot overflow the sum.
commits as (
    select
        pr_id,
        last_value(cast(insertions as double) order by seq) as insertions,
        last_value(cast(deletions as double) order by seq) as deletions
    from moves
    where type = 'commit'
    group by pr_id, coalesce(concat(cast(authored_at as varchar), ' ', message), sha)
),

changes as (
    select pr_id, sum(insertions) as insertions, sum(deletions) as deletions
    from commits
    group by pr_id
),

-- A push repeats the figures of its commits, so it counts only if there are no commits.
pushes as (
    select pr_id, sum(cast(insertions as double)) as insertions, sum(cast(deletions as double)) as deletions
    from moves
    where type = 'push'
    group by pr_id
),

runs as (
    select
        r.pr_id,
        count(*) as runs,
        count(case when r.type = 'ci_run' then 1 end) as ci_runs,
        count(case when r.failed then 1 end) as failed_runs,
        count(case when r.flaky then 1 end) as flaky_runs,
        count(case when r.label in ('infrastructure', 'preempted') then 1 end) as infrastructure_runs,
        count(case when r.contended then 1 end) as contended_runs,
        count(r.cpu_ms) as measured_runs,
        sum(case when r.type = 'ci_run' then r.queued_ms end) as ci_queued_ms,
        sum(case when r.type = 'ci_run' then r.duration_ms end) as ci_run_ms,
        sum(r.duration_ms) as run_ms,
        sum(cast(r.cpu_ms as double)) / 3600000.0 as core_hours,
        sum(cast(r.memory_peak_bytes as double) * r.duration_ms) / 1073741824.0 / 3600000.0 as gib_hours,
        sum(r.cpu_limit_cores * r.duration_ms) / 3600000.0 as held_core_hours,
        sum(cast(r.memory_limit_bytes as double) * r.duration_ms) / 1073741824.0 / 3600000.0 as held_gib_hours
    from (
        select
            pr_id, type, failed, flaky, label, contended, cpu_ms, queued_ms, memory_peak_bytes, memory_limit_bytes,
            cpu_limit_cores,
            least(duration_ms, 31536000000) as duration_ms -- a duration counts as at most a year
        from marts.runs
        -- The time of a workflow run is the time of its jobs. Counting both would double the cost.
        where pr_id is not null and not has_jobs
    ) r
    group by r.pr_id
),

phases as (
    select
        t.pr_id,
        t.trace_id,
        t.trace_date,
        t.repo,
        t.status,
        t.created_at,
        t.merged_at,
        t.commits,
        t.comments,
        t.review_comments,
        t.reviews,
        coalesce(m.committed_at, m.authored_at) as first_commit_at,
        m.first_reaction_at,
        m.approved_at,
        m.approvals,
        m.reviewers,
        m.force_pushes,
        m.reopenings,
        coalesce(a.before_reaction, 0) as away_before,
        coalesce(a.after_reaction, 0) as away_after
    from traces.traces t
    left join moments m on t.pr_id = m.pr_id
    left join away a on t.pr_id = a.pr_id
)

select
    p.pr_id,
    p.trace_id,
    p.repo,
    p.status,
    p.first_commit_at, -- Time of the first commit before the pull request was opened; after a rebase, the author time of that commit.
    p.created_at,
    p.first_reaction_at, -- Time of the first review or comment by another person before the merge, while the pull request was open and not a draft.
    p.approved_at, -- Time of the first approval by a person before the merge.
    p.merged_at,
    -- coding: from the first commit to the opening. Null if there is no earlier commit.
    to_unixtime(p.created_at) - to_unixtime(p.first_commit_at) as coding_seconds, -- Time from the first commit to the opening of the pull request, s. [>= 0]
    -- pickup: from the opening to the first reaction, restricted to the time in which the pull request waited for a reaction.
    to_unixtime(p.first_reaction_at) - to_unixtime(p.created_at) - p.away_before as pickup_seconds, -- Time from the opening to the first reaction, excluding time as closed or as a draft, s. [>= 0]
    -- review: from the first reaction to the merge, restricted to the time in which the pull request was open. Null if it was
    -- merged without a reaction.
    to_unixtime(p.merged_at) - to_unixtime(p.first_reaction_at) - p.away_after as review_seconds, -- Time from the first reaction to the merge, excluding time as closed or as a draft, s. [>= 0]
    -- away: time as closed or as a draft, between the opening and the merge.
    p.away_before + p.away_after as away_seconds, -- Time between opening and merge in which the pull request was closed or a draft, s. [>= 0]
    -- time to merge: the whole time from the opening to the merge. It differs from the cycle time (DevLake #5814 confused the
    -- two).
    to_unixtime(p.merged_at) - to_unixtime(p.created_at) as merge_seconds, -- Time from the opening to the merge, s. [>= 0]
    -- cycle: from the first commit (from the opening if there is no earlier commit) to the merge.
    to_unixtime(p.merged_at) - to_unixtime(coalesce(p.first_commit_at, p.created_at)) as cycle_seconds, -- Time from the first commit (without one, from the opening) to the merge, s. [>= 0]
    p.commits,
    p.comments,
    p.review_comments,
    p.reviews,
    coalesce(p.approvals, 0) as approvals, -- Number of approvals by people before the merge. [>= 0]
    coalesce(p.reviewers, 0) as reviewers, -- Number of other people who reviewed the pull request before the merge. [>= 0]
    coalesce(p.force_pushes, 0) as force_pushes, -- Number of force pushes. [>= 0]
    coalesce(p.reopenings, 0) as reopenings, -- Number of times that the pull request was reopened. [>= 0]
    coalesce(c.insertions, u.insertions) as insertions, -- Lines inserted by the commits of the pull request; without commits, by its pushes. [>= 0]
    coalesce(c.deletions, u.deletions) as deletions, -- Lines deleted by the commits of the pull request; without commits, by its pushes. [>= 0]
    -- churn: all lines that were added or removed, including lines that a later commit reverted.
    case
        when coalesce(c.insertions, u.insertions, c.deletions, u.deletions) is not null
        then coalesce(c.insertions, u.insertions, 0) + coalesce(c.deletions, u.deletions, 0)
    end as churn_lines, -- Sum of inserted and deleted lines over all commits of the pull request. [>= 0]
    coalesce(r.runs, 0) as runs, -- Number of commands, tests and CI jobs that ran for the pull request. [>= 0]
    coalesce(r.ci_runs, 0) as ci_runs, -- Number of CI jobs that ran for the pull request. [>= 0]
    coalesce(r.failed_runs, 0) as failed_runs, -- Number of failed runs. [>= 0]
    coalesce(r.flaky_runs, 0) as flaky_runs, -- Number of flaky runs, which failed and later passed on the same commit. [>= 0]
    coalesce(r.infrastructure_runs, 0) as infrastructure_runs, -- Number of runs that failed because of the infrastructure or were preempted. [>= 0]
    coalesce(r.contended_runs, 0) as contended_runs, -- Number of contended runs. [>= 0]
    coalesce(r.measured_runs, 0) as measured_runs, -- Number of runs with a measured CPU time; only these runs are included in the cost. [>= 0]
    r.ci_queued_ms, -- Total time that CI jobs waited for a machine, ms. [>= 0]
    r.ci_run_ms, -- Total duration of CI jobs, ms. [>= 0]
    r.run_ms, -- Total duration of all runs, ms. [>= 0]
    -- used: CPU time, and peak memory over the duration of the run.
    r.core_hours, -- CPU time used, core-hours. [>= 0]
    r.gib_hours, -- Sum over all runs of peak memory times duration, GiB-hours. [>= 0]
    -- held: the limits over the duration of the run, which a machine had to keep free.
    r.held_core_hours, -- Sum over all runs of CPU limit times duration, core-hours. [>= 0]
    r.held_gib_hours, -- Sum over all runs of memory limit times duration, GiB-hours. [>= 0]
    p.trace_date
from phases p
left join changes c on p.pr_id = c.pr_id
left join pushes u on p.pr_id = u.pr_id
left join runs r on p.pr_id = r.pr_id
order by p.trace_date, p.pr_id
