-- One row per failed run for which another run of the same work on the same commit passed within two weeks. The
-- failure may be due to chance.
-- Reads marts.run_reports. Key: event_id. A row depends on the runs of its commit (sha) within two weeks. The same
-- commit is the same code, so different results mean that chance decided the result. Runs without a sha cannot be
-- compared. Runs more than two weeks apart are not compared, because the environment of the code has changed by then.
-- If several jobs look the same, the job that another run repeats is unknown.
-- Partition: event_date
-- Follows: marts.run_reports ±14 days by sha
with beside as (
    select
        event_id, failed, event_date,
        min(case when outcome = 'success' then ended_at end) over (
            partition by repo, type, work, sha order by started_at
            range between interval '14 days' preceding and interval '14 days' following
        ) as passed_at
    from marts.run_reports
    where sha is not null and twins = 1
)

select
    event_id, -- Event of the failed run. [not null; in marts.run_reports.event_id]
    passed_at, -- End time of the first run that passed, UTC. [not null]
    event_date -- UTC day of the failed run: the partition column. [not null]
from beside
where failed and passed_at is not null
order by event_date, event_id
