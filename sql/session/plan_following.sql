-- One row per resource whose limits are switched by the calendar of an applied plan, for `plan`. A rollback counts regardless
-- of its time: like the live limits, the calendar in force does not depend on the clock.
-- Reads staging.events. Key: resource.
with followed as (
    select
        resource,
        plan_id
    from staging.events
    where type = 'adjustment' and resource is not null
    group by resource, plan_id
    having
        bool_or(json_contains(payload, 'quiet') and ts <= (select now from session.clock))
        and not bool_or(json_get_str(payload, 'action') = 'rollback')
)

select
    resource, -- Resource, `env/service`.
    max(plan_id) as plan_id -- Applied plan.
from followed
group by resource
