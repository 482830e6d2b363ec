-- What plans promised and what came, by policy and action: one row per policy and action, most items first.
-- Reads plans.outcomes, staging.events, session.clock. Only the last outcome that `verify` found for each item counts. Slack
-- and throttling are means over these items, as projected before approval and as measured since the change.
-- Parameter policy: text, default null (all)
-- Parameter days: integer, default 90
-- chart: table
with told as (
    select
        o.item_id,
        o.action,
        o.result,
        o.rolled_back_at,
        coalesce(e.payload ->> 'policy', 'unknown') as policy,
        cast(e.payload -> 'projected' ->> 'slack' as double) as projected_slack,
        cast(e.payload -> 'measured' ->> 'slack' as double) as measured_slack,
        cast(e.payload -> 'projected' ->> 'throttled_rate' as double) as projected_throttled,
        cast(e.payload -> 'measured' ->> 'throttled_rate' as double) as measured_throttled,
        row_number() over (partition by o.item_id order by o.ts desc, o.event_id) as newest
    from plans.outcomes o
    join staging.events e on o.event_id = e.event_id
    where o.type = 'outcome' and e.type = 'outcome' and o.item_id is not null
        and o.ts <= (select now from session.clock)
        and to_unixtime((select now from session.clock)) - to_unixtime(o.ts) between 0 and cast($days as bigint) * 86400
)

select
    policy,
    action,
    count(*) as items,
    count(case when result = 'better' then 1 end) as better,
    count(case when result = 'same' then 1 end) as same,
    count(case when result = 'worse' then 1 end) as worse,
    count(case when result = 'inconclusive' then 1 end) as inconclusive,
    count(rolled_back_at) as rolled_back,
    round(100.0 * avg(projected_slack), 1) as projected_slack_pct,
    round(100.0 * avg(measured_slack), 1) as measured_slack_pct,
    round(100.0 * avg(projected_throttled), 1) as projected_throttled_pct,
    round(100.0 * avg(measured_throttled), 1) as measured_throttled_pct
from told
where newest = 1 and (cast($policy as varchar) is null or policy = cast($policy as varchar))
group by policy, action
order by items desc, policy, action
