-- No image may have it; one published row does (definitions A.0), which is reported, not mended.
{{ config(severity='warn') }}

select source_id, model_id, image_id, ssim
from {{ ref('fct_image_quality') }}
where ssim > 1
