-- One row per failed run, if another run of the same work on the same commit passed within two weeks: the result may be
-- due to chance.
-- Reads marts.run_reports. Key: event_id. A row depends on the runs of its commit (sha) within two weeks.
-- The same commit is the same code, so different results mean that chance decided. Runs without a sha cannot be
-- compared, and after two weeks the environment of the code has changed. If several jobs look the same, it is unknown
-- which of them another run repeats.
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
    event_id, -- The failed run. [not null; in marts.run_reports.event_id]
    passed_at, -- When the first passed run ended, UTC. [not null]
    event_date -- UTC day of the failed run: the partition. [not null]
from beside
where failed and passed_at is not null
order by event_date, event_id
