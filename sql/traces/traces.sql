-- One row per pull request: its properties, its status, and the completeness of its trace.
-- Reads traces.events. Key: pr_id (and trace_id, its hash).
-- Partition: trace_date
-- Follows: traces.events
--
-- A source may report the final figures in a `snapshot` event. If the timeline has the same figure, the figure from the
-- timeline is used, with two exceptions. merged_at and closed_at come from the snapshot (GitHub's own record is up to a
-- second earlier than its timeline entry). The number of commits is the larger of the two figures (GitHub lists no more than
-- 250 commits).
with facts as (
    select
        pr_id,
        trace_date,
        ts,
        -- The end of a run is its start plus its duration, and a duration counts as at most a year.
        ts + arrow_cast(least(coalesce(case when type <> 'usage' then duration_ms end, 0), 31536000000) * 1000, 'Duration(Microsecond)') as ended_at,
        seq,
        type,
        repo,
        branch,
        developer,
        payload,
        context,
        action,
        title,
        sha,
        language,
        file
    from traces.events
),

snapshots as (
    select
        pr_id,
        ts as taken_at,
        title,
        arrow_try_cast(json_get_str(payload, 'merged_at'), 'Timestamp(Microsecond, Some("UTC"))') as merged_at,
        arrow_try_cast(json_get_str(payload, 'closed_at'), 'Timestamp(Microsecond, Some("UTC"))') as closed_at,
        json_get_int(payload, 'commits') as commits,
        row_number() over (partition by pr_id order by seq desc) as newest
    from facts
    where type = 'pr' and action = 'snapshot'
),

totals as (
    select
        pr_id,
        trace_date,
        coalesce(max(repo), split_part(pr_id, '#', 1)) as repo,
        max(case when type = 'pr' then branch end) as pr_branch,
        max(branch) as any_branch,
        max(case when action = 'opened' then json_get_str(payload, 'base') end) as base,
        min(ts) as started_at,
        max(case when action is distinct from 'snapshot' then ended_at end) as ended_at,
        min(case when action = 'opened' then ts end) as opened_at,
        min(case when type = 'pr' then ts end) as first_pr_event_at,
        max(case when action = 'merged' then ts end) as merged_at,
        max(case when action = 'closed' then ts end) as closed_at,
        max(case when action = 'reopened' then ts end) as reopened_at,
        max(case when action in ('merged', 'closed') then ts end) as last_end_at,
        count(distinct case when type = 'commit' then sha end) as commits,
        count(case when type = 'push' then 1 end) as pushes,
        count(case when action = 'commented' then 1 end) as comments,
        count(case when action = 'review_commented' then 1 end) as review_comments,
        count(case when action in ('reviewed', 'approved') then 1 end) as reviews,
        count(case when type in ('command', 'test', 'ci_run') then 1 end) as runs,
        count(case when type = 'edit' then 1 end) as edits,
        count(case when action is distinct from 'snapshot' then 1 end) as events,
        first_value(developer order by case when action = 'opened' then 0 else 1 end, seq)
            filter (where developer is not null) as developer,
        array_sort(array_distinct(array_agg(
            coalesce(language, case
                when file like '%.rs' then 'rust'
                when file like '%.py' then 'python'
                when file like '%.ts' or file like '%.tsx' then 'typescript'
                when file like '%.js' then 'javascript'
                when file like '%.go' then 'go'
                when file like '%.java' then 'java'
                when file like '%.rb' then 'ruby'
            end)
        ) filter (where language is not null or file is not null))) as languages,
        first_value(json_get_str(payload, 'rename', 'to') order by seq desc)
            filter (where action = 'renamed') as renamed_to,
        first_value(title order by seq desc) filter (where title is not null) as last_title,
        first_value(context order by seq desc) filter (where context is not null) as context
    from facts
    group by pr_id, trace_date
),

-- Effects that precede their causes, according to the clocks of different sources: a commit that was run or pushed before it
-- was made, or an event of a pull request before it was opened.
commits as (
    select
        pr_id,
        min(case when type = 'commit' then ts end) as made_at,
        min(case when type <> 'commit' then ts end) as used_at
    from facts
    where sha is not null and type in ('commit', 'push', 'command', 'test', 'ci_run')
    group by pr_id, sha
),

skews as (
    select pr_id, max(to_unixtime(made_at) - to_unixtime(used_at)) as seconds
    from commits
    where made_at > used_at
    group by pr_id
),

ends as (
    select
        t.pr_id,
        coalesce(s.merged_at, t.merged_at) as merged_at,
        case
            when t.reopened_at > coalesce(t.closed_at, s.closed_at, t.merged_at) then null
            when t.closed_at is null or s.taken_at >= t.closed_at
                then coalesce(s.closed_at, t.closed_at, s.merged_at, t.merged_at)
            else t.closed_at
        end as closed_at
    from totals t
    left join snapshots s on t.pr_id = s.pr_id and s.newest = 1
)

select
    md5(t.pr_id) as trace_id, -- Identifier of the trace: the hash of pr_id. [not null]
    t.pr_id, -- Pull request, `owner/name#number`. [not null]
    t.repo,
    coalesce(t.pr_branch, t.any_branch) as branch, -- Branch of the pull request, or else a branch that its events name.
    t.base, -- Target branch.
    coalesce(s.title, t.renamed_to, t.last_title, json_get_str(t.context, 'pr', 'title')) as title, -- Newest title of the pull request.
    case
        when e.merged_at is not null then 'merged'
        when e.closed_at is not null then 'closed'
        else 'open'
    end as status, -- Status of the pull request. [one of: open, merged, closed]
    coalesce(t.opened_at, t.first_pr_event_at, t.started_at) as created_at, -- Time at which the pull request was opened, UTC; if unknown, the time of its first event. [not null]
    e.merged_at, -- Time of the merge.
    e.closed_at, -- Time at which the pull request was finally closed, with or without a merge.
    t.started_at, -- Time of the first event. [not null]
    t.ended_at, -- End of the last known event. [not null]
    (to_unixtime(t.ended_at) - to_unixtime(t.started_at)) as duration_seconds, -- Time from the first event to the end of the last event, s. [>= 0]
    t.developer, -- Person who opened the pull request, as a keyed hash.
    t.languages, -- Programming languages, from the events or the files of the pull request.
    greatest(t.commits, coalesce(s.commits, 0)) as commits, -- Number of commits. [>= 0]
    t.pushes, -- Number of pushes. [>= 0]
    t.comments, -- Number of comments on the pull request. [>= 0]
    t.review_comments, -- Number of comments on lines of code. [>= 0]
    t.reviews, -- Number of reviews, including approvals. [>= 0]
    t.runs, -- Number of commands, tests and CI runs. [>= 0]
    t.edits, -- Number of file edits. [>= 0]
    t.events, -- Number of events in the trace, without snapshots. [>= 0]
    -- A complete trace has an opening, commits, runs, and as many commits as its source reports. The trace of a merged pull
    -- request also has a review, and the trace of a closed one has its end. completeness is the share of these parts that
    -- exist, and gaps names the missing parts.
    round(
        1.0 - (
            case when t.opened_at is null then 1 else 0 end
            + case when t.commits = 0 then 1 else 0 end
            + case when t.runs = 0 then 1 else 0 end
            + case when e.merged_at is not null and t.reviews + t.review_comments = 0 then 1 else 0 end
            + case when e.closed_at is not null and t.last_end_at is null then 1 else 0 end
            + case when t.commits > 0 and t.commits < s.commits then 1 else 0 end
        ) / cast(
            3
            + case when e.merged_at is not null then 1 else 0 end
            + case when e.closed_at is not null then 1 else 0 end
            + case when t.commits > 0 and s.commits is not null then 1 else 0 end
        as double),
        3
    ) as completeness, -- Share of the parts of a complete trace that this trace has. [0 to 1]
    concat_ws(
        ',',
        case when t.opened_at is null then 'opened' end,
        case when t.commits = 0 then 'commits' end,
        case when t.commits > 0 and t.commits < s.commits then 'all_commits' end,
        case when t.runs = 0 then 'runs' end,
        case when e.merged_at is not null and t.reviews + t.review_comments = 0 then 'reviews' end,
        case when e.closed_at is not null and t.last_end_at is null then 'end' end
    ) as gaps, -- Missing parts, separated by commas.
    -- Lower bound of the disagreement between the clocks of the sources.
    cast(greatest(
        coalesce(to_unixtime(t.opened_at) - to_unixtime(t.first_pr_event_at), 0),
        coalesce(k.seconds, 0)
    ) * 1000 as bigint) as clock_skew_ms, -- Lower bound of the disagreement between the clocks of the sources, ms. [>= 0]
    t.context,
    t.trace_date -- UTC day of the first event that names the pull request: the partition column. [not null]
from totals t
join ends e on t.pr_id = e.pr_id
left join snapshots s on t.pr_id = s.pr_id and s.newest = 1
left join skews k on t.pr_id = k.pr_id
order by t.trace_date, t.pr_id
