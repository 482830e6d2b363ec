-- One row per look of the judge at a metric of a canary, with the resulting action of the rollout.
-- Reads staging.events. Key: event_id. A row depends only on its event.
-- Partition: event_date
-- Follows: staging.events
select
    event_id,
    ts, -- Time of the look, UTC.
    plan_id as plan, -- Approved rollout. [not null]
    json_get_str(payload, 'control') as control, -- Version group that served the users before.
    json_get_str(payload, 'canary') as canary, -- Version group to which users are moved.
    json_get_int(payload, 'share') as share, -- Share of users on the canary, per cent. [0 to 100]
    metric, -- Metric that was judged. [not null]
    json_get_int(payload, 'look') as look, -- Number of looks at this share so far. [>= 0]
    json_get_int(payload, 'n') as n, -- Number of units in each arm up to the deciding look, or up to the last look if none decided. [>= 0]
    json_get_float(payload, 'effect') as effect, -- Change of the metric from the control to the canary: relative for a duration, in points for a share.
    json_get_float(payload, 'lower') as lower, -- Lower bound of the effect; null if unknown.
    json_get_float(payload, 'upper') as upper, -- Upper bound of the effect; null if unknown.
    json_get_str(payload, 'evidence') as evidence, -- Reason for the verdict, in words.
    json_get_float(payload, 'alpha_spent') as alpha_spent, -- Part of the permitted error probability that the test has spent so far. [0 to 1]
    verdict, -- Verdict of the judge. [one of: pass, fail, inconclusive]
    json_get_str(payload, 'tick') as tick, -- Resulting action of the rollout. [one of: grow, hold, rollback]
    event_date
from staging.events
where type = 'verdict'
order by event_date, ts, event_id
