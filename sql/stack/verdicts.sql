-- One row per look of the judge at a metric of a canary, with the resulting action of the rollout.
-- Reads staging.events. Key: event_id. A row depends only on its event.
-- Partition: event_date
-- Follows: staging.events
select
    event_id,
    ts, -- Time of the look, UTC.
    plan_id as plan, -- Approved rollout. [not null]
    json_get_str(payload, 'control') as control, -- Version group that had the users before.
    json_get_str(payload, 'canary') as canary, -- Version group that gets the users.
    json_get_int(payload, 'share') as share, -- Share of the users on the canary, per cent. [0 to 100]
    metric, -- Metric that was judged. [not null]
    json_get_int(payload, 'look') as look, -- Number of looks at this share so far. [>= 0]
    json_get_int(payload, 'n') as n, -- Units of each arm up to the deciding look, or up to the last one. [>= 0]
    json_get_float(payload, 'effect') as effect, -- Change of the metric of the canary relative to the control: relative for a duration, in points for a share.
    json_get_float(payload, 'lower') as lower, -- Lower bound; null: unknown.
    json_get_float(payload, 'upper') as upper, -- Upper bound; null: unknown.
    json_get_str(payload, 'evidence') as evidence, -- Why, in words.
    json_get_float(payload, 'alpha_spent') as alpha_spent, -- Spent share of the error that the test may make. [0 to 1]
    verdict, -- Verdict of the judge. [one of: pass, fail, inconclusive]
    json_get_str(payload, 'tick') as tick, -- Resulting action. [one of: grow, hold, rollback]
    event_date
from staging.events
where type = 'verdict'
order by event_date, ts, event_id
