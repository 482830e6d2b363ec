-- The phases of a merged pull request with a reaction add up to its cycle time to the second, and no phase is negative. Finds
-- one row per pull request that violates this rule. Reads marts.pr_metrics.
select pr_id as subject, 'its phases do not add up to its cycle' as finding
from marts.pr_metrics
where coalesce(coding_seconds, 0) + pickup_seconds + review_seconds + away_seconds <> cycle_seconds
    or least(coding_seconds, pickup_seconds, review_seconds, away_seconds) < 0
order by subject
