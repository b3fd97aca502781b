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

wrong_blocks as (

    {%- for path in inference_paths() %}
    select
        model_id,
        image_id,
        '{{ path }}' as inference_path,
        'blocks' as problem
    from blocks
    where mse_dn2_{{ path }} is not null
        and (
            {% for part in parts -%}
            {{ '+ ' if not loop.first }}{{ part }}_dn2_{{ path }}
            {% endfor -%}
            is distinct from mse_dn2_{{ path }}
            or least(
                {%- for part in parts %}
                {{ part }}_dn2_{{ path }}{{ ',' if not loop.last }}
                {%- endfor %}
            ) < 0
        )
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

squared_errors as (

    {%- for path in inference_paths() %}
    select
        model_id,
        image_id,
        '{{ path }}' as inference_path,
        64 * sum(mse_dn2_{{ path }}) as squared_error
    from blocks
    where mse_dn2_{{ path }} is not null
    group by model_id, image_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

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

select * from wrong_blocks
union all
select
    squared_errors.model_id,
    squared_errors.image_id,
    squared_errors.inference_path,
    'an image' as problem
from squared_errors
left join image_sums
    on squared_errors.model_id = image_sums.model_id
    and squared_errors.image_id = image_sums.image_id
    and squared_errors.inference_path = image_sums.inference_path
where 4096 * squared_errors.squared_error is distinct from image_sums.squared_error
union all
select
    model_id,
    image_id,
    inference_path,
    'a negative part' as problem
from ledgers
where least(invented, exaggerated, error - invented - exaggerated, coalesce(shifted, 0)) < 0
