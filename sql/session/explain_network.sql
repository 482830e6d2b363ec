-- One row: the minutes in which the network was the bottleneck of a resource, for `explain`. The network has no stall figure
-- of its own. The hours that count are those near the highest rate of 60 days, with an idle processor, if that rate is far
-- above the usual one.
-- Reads marts.usage.
-- Parameter resource: text
with hours as (
    select
        date_trunc('hour', ts) as hour,
        sum(coalesce(net_rx_bytes, 0) + coalesce(net_tx_bytes, 0)) as bytes,
        avg(coalesce(cpu_share, 0)) as cpu_share
    from marts.usage
    where resource = $resource and ts <= (select now from session.clock)
        and ts > (select now from session.clock) - interval '60 days'
    group by date_trunc('hour', ts)
)

select sum(case when h.bytes >= 0.9 * m.most and h.cpu_share < 0.3 then 60.0 end) as network -- Minutes. [>= 0]
from hours h
cross join (select max(bytes) as most, median(bytes) as usual from hours) m
where m.most > 3 * m.usual and m.usual > 0
