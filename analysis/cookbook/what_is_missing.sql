-- What is missing, and why? Zero is checked and none; measured_pct is of the blocks expected.
-- One row per model x inference path, the least complete first.
select
    model_id,
    inference_path,
    measured_image_count,
    image_count,
    100.0 * measured_block_count / nullif(expected_block_count, 0) as measured_pct,
    partial_block_count,
    missing_block_count,
    ambiguous_block_count,
    rejected_block_count,
    not_declared_block_count,
    reference_rejected_image_count
from mart_coverage
order by measured_pct, model_id, inference_path;
