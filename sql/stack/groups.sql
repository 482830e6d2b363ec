-- One row per version group and place: the members of the group, when they were deployed at the place, and whether all of
-- them are present.
-- Reads stack.components, stack.versions. Key: group_digest, place. A row depends on all events of its members.
with members as (
    select
        group_digest, coalesce(place, 'production') as place, component, version,
        max("group") as "group", min(ts) as since, max(ts) as seen_at
    from stack.components
    where type = 'component' and group_digest is not null and version is not null
    group by group_digest, coalesce(place, 'production'), component, version
)

select
    m.group_digest, -- Digest of the group, which is the name of its file. [not null]
    m."group", -- Name of the group. [not null]
    m.place, -- Place of deployment. [one of: staging, production]
    count(*) as members, -- Number of members that were deployed at the place at some time. [> 0]
    string_agg(m.component || ' ' || m.version, ', ' order by m.component) as components, -- Members with their versions. [not null]
    sum(case when v.is_live and v.group_digest = m.group_digest then 1 else 0 end) as live_members, -- Number of members of this group that are deployed now. [>= 0]
    coalesce(bool_and(v.is_live and v.group_digest = m.group_digest), false) as is_live, -- Whether all members are present. [not null]
    min(m.since) as since, -- Time at which the first member was deployed at the place, UTC. [not null]
    max(m.seen_at) as seen_at -- Time at which a member was last deployed or observed, UTC. [not null]
from members m
left join stack.versions v on m.component = v.component and m.version = v.version and m.place = v.place
group by m.group_digest, m."group", m.place
order by min(m.since), m.group_digest, m.place
