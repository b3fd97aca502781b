{%- set own = ['sum', 'sum_sq', 'laplacian', 'noise', 'detail2', 'detail4'] -%}
{%- set compared = ['cross', 'cross_detail2', 'cross_detail4'] -%}
{%- set counted = ['lr_usable', 'lr_clamped', 'lr_contradicted'] -%}
{%- set summed = ['lr_sum', 'lr_largest'] -%}
{%- set energies = ['lr_square', 'null_energy', 'null_product', 'bent'] -%}
{%- set steps = ['step_side', 'step_side16', 'step_middle', 'step_inside'] -%}
with source as (

    select * from {{ source('raw', 'blocks') }}

),

-- Raw columns have the narrowest type that holds them; products need wider ones. What a feature or
-- the ledger is made of is double: their products are whole numbers below 2^53, so exact, and
-- unlike those of bigint not checked for overflow one by one.
renamed as (

    select
        model_id,
        image_id,
        block_row,
        block_col,
        is_partial,
        cast(side_count as double) as side_count,
        cast(side16_count as double) as side16_count,
        cast(ringing_px as double) as ringing_px
        {%- for image in ['reference'] + inference_paths() %}
        {%- for name in own %},
        cast({{ image }}_{{ name }} as double) as {{ image }}_{{ name }}
        {%- endfor %}
        {%- for name in steps %},
        cast({{ image }}_{{ name }} as double) as {{ image }}_{{ name }}
        {%- endfor %}
        {%- endfor %},
        cast(reference_null_energy as double) as reference_null_energy
        {%- for path in inference_paths() %},
        {%- for name in counted %}
        cast({{ path }}_{{ name }} as integer) as {{ path }}_{{ name }},
        {%- endfor %}
        {%- for name in summed %}
        cast({{ path }}_{{ name }} as bigint) as {{ path }}_{{ name }},
        {%- endfor %}
        {%- for name in energies %}
        cast({{ path }}_{{ name }} as double) as {{ path }}_{{ name }},
        {%- endfor %}
        {%- for name in compared %}
        cast({{ path }}_{{ name }} as double) as {{ path }}_{{ name }},
        {%- endfor %}
        cast({{ path }}_local_ssim as double) as {{ path }}_local_ssim,
        cast({{ path }}_ringing as double) as {{ path }}_ringing
        {%- endfor %}
    from source

)

select * from renamed
