{% set parts = ledger_kinds() + ['shifted'] -%}
-- Invented, lost, exaggerated and shifted are the squared error, to the last digit: in every block,
-- and at cells of 2 to 8 px in the sums of each image (4096ths of dn2 there); and no part is
-- negative (definitions E.8).
with blocks as (

    select * from {{ ref('fct_blocks') }}

),

ledgers as (

    select * from {{ ref('int_image_ledgers') }}

),

-- One scan for both: blocks that do not add up, and the squared error of each image.
block_sums as (

    select
        model_id,
        image_id
        {%- for path in inference_paths() %},
        sum(mse_dn2_{{ path }}) as mse_dn2_{{ path }},
        count_if(
            {% for part in parts -%}
            {{ '+ ' if not loop.first }}{{ part }}_dn2_{{ path }}
            {% endfor -%}
            != mse_dn2_{{ path }}
            or least(
                {%- for part in parts %}
                {{ part }}_dn2_{{ path }}{{ ',' if not loop.last }}
                {%- endfor %}
            ) < 0
        ) as wrong_{{ path }}
        {%- endfor %}
    from blocks
    group by model_id, image_id

),

image_sums as (

    select
        model_id,
        image_id,
        inference_path,
        sum(error) + sum(shifted) as squared_error
    from ledgers
    where scale_px in ({{ block_scales() | join(', ') }})
    group by model_id, image_id, inference_path

)

{% for path in inference_paths() -%}
select
    block_sums.model_id,
    block_sums.image_id,
    '{{ path }}' as inference_path,
    case when block_sums.wrong_{{ path }} > 0 then 'a block' else 'the image' end as problem
from block_sums
left join image_sums
    on block_sums.model_id = image_sums.model_id
    and block_sums.image_id = image_sums.image_id
    and image_sums.inference_path = '{{ path }}'
where block_sums.mse_dn2_{{ path }} is not null
    and (
        block_sums.wrong_{{ path }} > 0
        or 4096 * 64 * block_sums.mse_dn2_{{ path }} is distinct from image_sums.squared_error
    )
union all
{% endfor -%}
select
    model_id,
    image_id,
    inference_path,
    'a negative part' as problem
from ledgers
where least(invented, exaggerated, error - invented - exaggerated, coalesce(shifted, 0)) < 0
