-- One row per period in which a branch belongs to a touched pull request now and did not before.
-- Reads session.branches_before, session.branches_now. An end that is null lies in the future.
select n.repo, n.branch, n.linked_from as from_ts, n.linked_until as until_ts
from session.branches_now n
left anti join session.branches_before b on n.pr_id = b.pr_id and n.branch = b.branch
where n.branch is not null and n.linked_from is not null

union all

select n.repo, n.branch, n.linked_from as from_ts, b.linked_from as until_ts
from session.branches_now n
join session.branches_before b on n.pr_id = b.pr_id and n.branch = b.branch
where n.linked_from < b.linked_from

union all

select n.repo, n.branch, b.linked_until as from_ts, n.linked_until as until_ts
from session.branches_now n
join session.branches_before b on n.pr_id = b.pr_id and n.branch = b.branch
where b.linked_until is not null and (n.linked_until is null or n.linked_until > b.linked_until)
