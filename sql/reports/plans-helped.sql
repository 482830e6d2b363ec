-- Last month's plans, and whether they helped: one row per item that was applied, with the contention of its resource in the
-- week before and the week after, and with the verdicts of people. Newest items come first.
-- Reads plans.outcomes, plans.verdicts, features.resource_hours, session.clock. `outcome` is the result that `verify` found,
-- or null if `verify` has not looked at the item yet. An item that was rolled back counts only until its rollback.
-- Parameter resource: text, default null (all)
-- Parameter days: integer, default 30
-- chart: table
with applied as (
    select
        item_id,
        max(plan_id) as plan_id,
        max(resource) as resource,
        min(case when type = 'adjustment' and action is distinct from 'rollback' then ts end) as applied_at,
        max(case when type = 'adjustment' and action = 'rollback' then ts end) as rolled_back_at,
        first_value(before order by ts) filter (where type = 'adjustment') as before,
        first_value(after order by ts) filter (where type = 'adjustment') as after,
        last_value(result order by ts) filter (where type = 'outcome') as outcome
    from plans.outcomes
    where item_id is not null and ts <= (select now from session.clock)
    group by item_id
),

recent as (
    select item_id, plan_id, resource, applied_at, rolled_back_at, before, after, outcome
    from applied
    where applied_at is not null
        and (cast($resource as varchar) is null or resource = cast($resource as varchar))
        and to_unixtime((select now from session.clock)) - to_unixtime(applied_at) between 0 and cast($days as bigint) * 86400
),

hours as (
    select
        r.item_id,
        h.hour >= r.applied_at as is_after,
        count(*) as hours,
        100.0 * avg(case when h.contended then 1.0 else 0.0 end) as contended_pct,
        sum(h.oom_kills) as oom_kills
    from recent r
    join features.resource_hours h on r.resource = h.resource
    where h.hour >= r.applied_at - interval '7 days' and h.hour < r.applied_at + interval '7 days'
        and (r.rolled_back_at is null or h.hour < r.rolled_back_at)
    group by r.item_id, h.hour >= r.applied_at
),

said as (
    select
        item_id,
        count(case when verdict = 'helpful' then 1 end) as helpful,
        count(case when verdict = 'slowed-down' then 1 end) as slowed_down
    from plans.verdicts
    where given_at <= (select now from session.clock)
    group by item_id
)

select
    r.plan_id,
    r.item_id,
    r.resource,
    r.applied_at,
    r.rolled_back_at,
    r.before,
    r.after,
    round(b.contended_pct, 1) as contended_before_pct,
    round(a.contended_pct, 1) as contended_after_pct,
    b.oom_kills as oom_kills_before,
    a.oom_kills as oom_kills_after,
    coalesce(s.helpful, 0) as helpful,
    coalesce(s.slowed_down, 0) as slowed_down,
    r.outcome
from recent r
left join hours b on r.item_id = b.item_id and not b.is_after
left join hours a on r.item_id = a.item_id and a.is_after
left join said s on r.item_id = s.item_id
order by r.applied_at desc, r.item_id
