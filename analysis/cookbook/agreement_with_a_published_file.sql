-- Do the rules here give what a published file says? Thresholds pooled as published; the rule set
-- with 100 is the one that wrote the file.
-- flagged_row_count: rows for which the file carries flags; 0 and NULL where it carries none. Empty
-- in a study without published files.
-- One row per published file x rule set, the best first.
select
    source_id,
    rule_set,
    row_count,
    flagged_row_count,
    100.0 * equal_count_count / nullif(flagged_row_count, 0) as equal_count_pct,
    100.0 * equal_patterns_count / nullif(flagged_row_count, 0) as equal_patterns_pct,
    100.0 * equal_confidence_count / nullif(flagged_row_count, 0) as equal_confidence_pct
from mart_published_agreement
order by source_id, equal_count_pct desc nulls last, equal_patterns_pct desc nulls last, rule_set;
