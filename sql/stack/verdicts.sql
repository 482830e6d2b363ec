-- One row per look of the judge at a metric of a canary, and what a tick of its rollout made of it.
-- Reads staging.events. Key: event_id. A row depends on its event alone.
-- Partition: event_date
-- Follows: staging.events
select
    event_id,
    ts, -- When was looked, UTC.
    plan_id as plan, -- Approved rollout. [not null]
    json_get_str(payload, 'control') as control, -- Version group that had the users.
    json_get_str(payload, 'canary') as canary, -- Version group that is to have them.
    json_get_int(payload, 'share') as share, -- Per cent of the users on the canary. [0 to 100]
    metric, -- What was judged. [not null]
    json_get_int(payload, 'look') as look, -- Looks at this share so far. [>= 0]
    json_get_int(payload, 'n') as n, -- Units of each arm up to the look that decided, or the last one. [>= 0]
    json_get_float(payload, 'effect') as effect, -- Change of the metric, canary against control: a share of a duration, points of a share.
    json_get_float(payload, 'lower') as lower, -- Not lower than this; null: unknown.
    json_get_float(payload, 'upper') as upper, -- Not higher than this; null: unknown.
    json_get_str(payload, 'evidence') as evidence, -- Why, in words.
    json_get_float(payload, 'alpha_spent') as alpha_spent, -- Of the error that this test may make, what is spent. [0 to 1]
    verdict, -- What the evidence says. [one of: pass, fail, inconclusive]
    json_get_str(payload, 'tick') as tick, -- What followed. [one of: grow, hold, rollback]
    event_date
from staging.events
where type = 'verdict'
order by event_date, ts, event_id
