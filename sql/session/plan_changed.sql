-- One row per pull request that changed what packages are taken: one of its lock files or manifests, for `plan`.
-- Reads marts.changed_files. Key: pr_id.
select
    pr_id, -- The pull request.
    min(path) as path -- The first of these files by its name.
from marts.changed_files
where role in ('lockfile', 'manifest') and pr_id is not null and ts <= (select now from session.clock)
group by pr_id
