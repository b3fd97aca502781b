select model_id, inference_path, image_id, ssim
from {{ ref('fct_image_quality') }}
where source_id = 'images' and ssim > 1
