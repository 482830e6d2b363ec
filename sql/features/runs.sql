-- One row per run that had ended by session.clock: what was known when it was created, and how long it took.
-- Reads marts.runs, session.clock. Key: repo, run_id, started_at. ended_at, duration_ms, cpu_ms, memory_peak_bytes,
-- failed and result are known only at its end.
select
    run_id,
    job_key,
    repo,
    branch,
    developer as author, -- Keyed hash of who started it.
    language,
    kind,
    started_at,
    ended_at,
    duration_ms,
    cpu_ms,
    memory_peak_bytes,
    failed,
    result,
    names_pr as is_pr, -- Whether it names a pull request; the branch rule would know of those opened later.
    from_fork,
    author_association in ('OWNER', 'MEMBER', 'COLLABORATOR') as by_member, -- Whether who started it belongs to the repository.
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
    memory_limit_bytes
from marts.runs
where ended_at <= (select now from session.clock)
order by started_at, run_id
