-- One row per run that had ended by session.clock: the features known when the run was created, and the duration of the run.
-- Reads marts.runs, features.changes, traces.traces, session.clock. Key: repo, run_id, started_at. ended_at, duration_ms,
-- cpu_ms, memory_peak_bytes, failed and result are known only at the end of the run.
select
    r.run_id,
    r.job_key,
    r.repo,
    r.branch,
    r.developer as author, -- Person who started the run, as a keyed hash.
    r.language,
    r.kind,
    r.started_at,
    r.ended_at,
    r.duration_ms,
    r.cpu_ms,
    r.memory_peak_bytes,
    r.failed,
    r.result,
    r.names_pr as is_pr, -- Whether the run itself names a pull request. Assignment by branch is not used, because it could find a pull request that was opened later.
    r.from_fork,
    r.author_association in ('OWNER', 'MEMBER', 'COLLABORATOR') as by_member, -- Whether the person who started the run belongs to the repository.
    r.jobs,
    r.commits,
    r.team_size,
    r.src_churn,
    r.test_churn,
    r.files_changed,
    r.files_added,
    r.files_deleted,
    r.files_modified,
    r.src_files,
    r.doc_files,
    r.other_files,
    r.tests_added,
    r.tests_deleted,
    r.commits_on_files_touched,
    r.sloc,
    r.test_lines_per_kloc,
    r.cpu_limit_cores,
    r.memory_limit_bytes,
    c.touched_files,
    c.touched_lockfiles,
    c.touched_manifests,
    c.touched_ci_files,
    c.touched_sources,
    c.touched_tests,
    c.touched_docs,
    c.touched_kinds,
    c.touched_folders,
    case
        when t.base is not null then t.base in ('main', 'master', 'trunk', 'develop')
        when not r.names_pr then r.branch in ('main', 'master', 'trunk', 'develop')
    end as to_main -- Whether the run is on a main branch, or for a pull request into a main branch.
from marts.runs r
left join features.changes c on r.event_id = c.event_id
left join traces.traces t on r.pr_id = t.pr_id and t.created_at <= r.started_at
where r.ended_at <= (select now from session.clock) and r.duration_ms is not null -- impossible durations are not used for training
order by r.started_at, r.run_id
