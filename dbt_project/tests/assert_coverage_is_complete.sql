-- Every expected block has a row, and every NULL of it one cause.
select *
from {{ ref('mart_coverage') }}
where expected_block_count != block_count
    or block_count != measured_block_count + partial_block_count + missing_block_count
        + ambiguous_block_count + rejected_block_count + not_declared_block_count
