-- One row per run that is expected next, as of session.clock, with the columns of features.runs.
-- Reads features.runs, features.changes, marts.runs, traces.events, session.clock. Key: run_id.
-- For every open pull request, the expected runs are those of the jobs that the pull request ran itself, or that a third of
-- the pull requests in its repository ran in the last 30 days. For every job that runs on a main branch, its next run there
-- is expected. Only events up to the clock decide whether a pull request is open and which runs belong to it, so later events
-- change no row. Features of the change come from the last run of the same pull request (of the same job if possible). Limits
-- and the size of the repository come from the last run of the job that has these values. started_at is the clock, as if the
-- run were created now.
with told as (
    select
        pr_id, repo, branch, developer, ts, event_id, action,
        case when action = 'opened' then json_get_str(payload, 'base') end as base,
        case
            when action in ('merged', 'closed') then true
            when action in ('opened', 'reopened') then false
            when coalesce(json_get_str(payload, 'closed_at'), json_get_str(payload, 'merged_at')) is not null then true
        end as ends
    from traces.events
    where type = 'pr' and link_rule = 'number' and ts <= (select now from session.clock)
),

pull_requests as (
    select
        pr_id,
        coalesce(max(repo), split_part(pr_id, '#', 1)) as repo,
        last_value(branch order by ts, event_id) filter (where branch is not null) as branch,
        first_value(developer order by case action when 'opened' then 0 else 1 end, ts, event_id)
            filter (where developer is not null) as developer,
        max(base) as base,
        coalesce(last_value(ends order by ts, event_id) filter (where ends is not null), false) as is_over,
        max(ts) as last_told_at
    from told
    group by pr_id
),

heads as (
    -- A branch that several pull requests used belongs to the last of them.
    select repo, branch, last_value(pr_id order by last_told_at, pr_id) as pr_id
    from pull_requests
    where branch not in ('main', 'master', 'trunk', 'develop')
    group by repo, branch
),

ended as (
    select
        r.*,
        c.touched_files, c.touched_lockfiles, c.touched_manifests, c.touched_ci_files, c.touched_sources,
        c.touched_tests, c.touched_docs, c.touched_kinds, c.touched_folders,
        case when r.names_pr then r.pr_id else h.pr_id end as own_pr_id
    from marts.runs r
    left join features.changes c on r.event_id = c.event_id
    left join heads h on r.repo = h.repo and r.branch = h.branch
    where r.ended_at <= (select now from session.clock)
        and r.started_at >= (select now from session.clock) - interval '30 days'
        and r.repo is not null
        and not r.has_jobs
),

recent as (
    select
        *,
        row_number() over (partition by own_pr_id order by started_at desc, run_id) as back_of_pr,
        row_number() over (partition by own_pr_id, job_key order by started_at desc, run_id) as back_of_both,
        row_number() over (partition by own_pr_id, repo, job_key, branch order by started_at desc, run_id) as back_of_branch,
        to_unixtime(started_at) - lag(to_unixtime(started_at)) over (
            partition by own_pr_id, repo, job_key, branch order by started_at, run_id
        ) as seconds_since_last
    from ended
),

jobs_of as (
    -- The last known values of each job.
    select
        repo,
        job_key,
        max(kind) as kind,
        last_value(resource order by started_at, run_id) filter (where resource is not null) as resource,
        last_value(language order by started_at, run_id) filter (where language is not null) as language,
        last_value(jobs order by started_at, run_id) filter (where jobs is not null) as jobs,
        last_value(team_size order by started_at, run_id) filter (where team_size is not null) as team_size,
        last_value(sloc order by started_at, run_id) filter (where sloc is not null) as sloc,
        last_value(test_lines_per_kloc order by started_at, run_id)
            filter (where test_lines_per_kloc is not null) as test_lines_per_kloc,
        last_value(cpu_limit_cores order by started_at, run_id) filter (where cpu_limit_cores is not null) as cpu_limit_cores,
        last_value(memory_limit_bytes order by started_at, run_id)
            filter (where memory_limit_bytes is not null) as memory_limit_bytes
    from ended
    group by repo, job_key
),

asked as (
    select repo, count(distinct own_pr_id) as pull_requests
    from recent
    where own_pr_id is not null
    group by repo
),

usual as (
    select r.repo, r.job_key
    from recent r
    join asked a on r.repo = a.repo
    where r.own_pr_id is not null
    group by r.repo, r.job_key, a.pull_requests
    having 3 * count(distinct r.own_pr_id) >= a.pull_requests
),

wanted as (
    select p.pr_id, u.repo, u.job_key
    from pull_requests p
    join usual u on p.repo = u.repo
    where not p.is_over

    union

    select p.pr_id, r.repo, r.job_key
    from pull_requests p
    join recent r on p.pr_id = r.own_pr_id
    where not p.is_over
),

next_on_main as (
    select repo, job_key, branch, median(seconds_since_last) as usual_seconds
    from recent
    where own_pr_id is null and branch in ('main', 'master', 'trunk', 'develop')
    group by repo, job_key, branch
),

of_pull_requests as (
    select
        concat_ws(' ', w.job_key, w.pr_id) as run_id,
        'pull_request' as reason,
        w.pr_id, w.job_key, w.repo,
        coalesce(p.branch, b.branch, l.branch) as branch,
        coalesce(l.developer, p.developer) as author,
        coalesce(b.language, j.language) as language,
        j.kind, j.resource,
        (select now from session.clock) as expected_at,
        coalesce(b.names_pr, l.names_pr, true) as is_pr,
        l.from_fork,
        l.author_association,
        coalesce(b.jobs, j.jobs) as jobs,
        coalesce(b.commits, l.commits) as commits,
        coalesce(b.team_size, j.team_size) as team_size,
        coalesce(b.src_churn, l.src_churn) as src_churn,
        coalesce(b.test_churn, l.test_churn) as test_churn,
        coalesce(b.files_changed, l.files_changed) as files_changed,
        coalesce(b.files_added, l.files_added) as files_added,
        coalesce(b.files_deleted, l.files_deleted) as files_deleted,
        coalesce(b.files_modified, l.files_modified) as files_modified,
        coalesce(b.src_files, l.src_files) as src_files,
        coalesce(b.doc_files, l.doc_files) as doc_files,
        coalesce(b.other_files, l.other_files) as other_files,
        coalesce(b.tests_added, l.tests_added) as tests_added,
        coalesce(b.tests_deleted, l.tests_deleted) as tests_deleted,
        coalesce(b.commits_on_files_touched, l.commits_on_files_touched) as commits_on_files_touched,
        coalesce(b.sloc, j.sloc) as sloc,
        coalesce(b.test_lines_per_kloc, j.test_lines_per_kloc) as test_lines_per_kloc,
        j.cpu_limit_cores,
        j.memory_limit_bytes,
        coalesce(b.touched_files, l.touched_files) as touched_files,
        coalesce(b.touched_lockfiles, l.touched_lockfiles) as touched_lockfiles,
        coalesce(b.touched_manifests, l.touched_manifests) as touched_manifests,
        coalesce(b.touched_ci_files, l.touched_ci_files) as touched_ci_files,
        coalesce(b.touched_sources, l.touched_sources) as touched_sources,
        coalesce(b.touched_tests, l.touched_tests) as touched_tests,
        coalesce(b.touched_docs, l.touched_docs) as touched_docs,
        coalesce(b.touched_kinds, l.touched_kinds) as touched_kinds,
        coalesce(b.touched_folders, l.touched_folders) as touched_folders,
        p.base in ('main', 'master', 'trunk', 'develop') as to_main
    from wanted w
    join pull_requests p on w.pr_id = p.pr_id
    join jobs_of j on w.repo = j.repo and w.job_key = j.job_key
    left join recent l on w.pr_id = l.own_pr_id and l.back_of_pr = 1
    left join recent b on w.pr_id = b.own_pr_id and w.job_key = b.job_key and b.back_of_both = 1
),

of_main_branches as (
    select
        concat_ws(' ', n.job_key, n.branch) as run_id,
        'main_branch' as reason,
        cast(null as varchar) as pr_id,
        n.job_key, n.repo, n.branch,
        b.developer as author,
        coalesce(b.language, j.language) as language,
        j.kind, j.resource,
        case when n.usual_seconds is not null then greatest(
            b.started_at + arrow_cast(cast(n.usual_seconds * 1000000 as bigint), 'Duration(Microsecond)'),
            (select now from session.clock)
        ) end as expected_at,
        b.names_pr as is_pr,
        b.from_fork,
        b.author_association,
        b.jobs, b.commits, b.team_size, b.src_churn, b.test_churn, b.files_changed, b.files_added, b.files_deleted,
        b.files_modified, b.src_files, b.doc_files, b.other_files, b.tests_added, b.tests_deleted,
        b.commits_on_files_touched, b.sloc, b.test_lines_per_kloc,
        j.cpu_limit_cores,
        j.memory_limit_bytes,
        b.touched_files, b.touched_lockfiles, b.touched_manifests, b.touched_ci_files, b.touched_sources,
        b.touched_tests, b.touched_docs, b.touched_kinds, b.touched_folders,
        true as to_main
    from next_on_main n
    join jobs_of j on n.repo = j.repo and n.job_key = j.job_key
    join recent b
        on n.repo = b.repo and n.job_key = b.job_key and n.branch = b.branch and b.own_pr_id is null and b.back_of_branch = 1
),

expected as (
    select * from of_pull_requests
    union all
    select * from of_main_branches
)

select
    run_id, -- Expected run: job key, followed by the pull request or branch. [not null]
    reason, -- Reason why the run is expected: its pull request is open, or its job runs on a main branch. [one of: pull_request, main_branch]
    pr_id, -- Pull request for which the run is expected; null on a main branch.
    job_key,
    repo,
    branch,
    author,
    language,
    kind,
    resource, -- Resource on which the job last ran.
    expected_at, -- Expected start time, UTC: for a pull request, now; on a main branch, the last start plus the usual time between two runs, but not before now. Null if the job ran only once.
    (select now from session.clock) as started_at, -- Time of session.clock: everything is known as of now. [not null]
    arrow_cast(null, 'Timestamp(µs, "UTC")') as ended_at, -- Not known yet.
    cast(null as bigint) as duration_ms, -- Not known yet.
    cast(null as bigint) as cpu_ms, -- Not known yet.
    cast(null as bigint) as memory_peak_bytes, -- Not known yet.
    cast(null as boolean) as failed, -- Not known yet.
    cast(null as varchar) as result, -- Not known yet.
    is_pr,
    from_fork,
    author_association in ('OWNER', 'MEMBER', 'COLLABORATOR') as by_member, -- Whether the person who starts the run belongs to the repository.
    coalesce(from_fork, false)
    or coalesce(upper(author_association) in ('NONE', 'FIRST_TIMER', 'FIRST_TIME_CONTRIBUTOR', 'MANNEQUIN'), false)
        as stranger, -- Whether the run comes from a fork, or from a person who is not known in the repository.
    jobs,
    commits,
    team_size,
    src_churn,
    test_churn,
    files_changed,
    files_added,
    files_deleted,
    files_modified,
    src_files,
    doc_files,
    other_files,
    tests_added,
    tests_deleted,
    commits_on_files_touched,
    sloc,
    test_lines_per_kloc,
    cpu_limit_cores,
    memory_limit_bytes,
    touched_files,
    touched_lockfiles,
    touched_manifests,
    touched_ci_files,
    touched_sources,
    touched_tests,
    touched_docs,
    touched_kinds,
    touched_folders,
    to_main -- Whether the run is on a main branch, or for a pull request into a main branch.
from expected
order by run_id
