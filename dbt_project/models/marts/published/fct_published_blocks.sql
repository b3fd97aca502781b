{#- A file of both paths has a block whole; files of one path each are put together here. What
    a file leaves out is taken from what it says where one is a function of the other: a path's
    local SSIM from the other's and their difference, the score from its place on the axis. -#}
with blocks as (

    select * from {{ ref('stg_raw__published_blocks') }}

),

notta as (

    select * from blocks where form = 'notta'

),

tta as (

    select * from blocks where form = 'tta'

),

paired as (

    select
        label,
        model_id,
        image_id,
        block_row,
        block_col,
        true as has_notta,
        true as has_tta
        {%- for path in inference_paths() %}
        {%- for name in published_measures() %},
        {{ name }}_{{ path }}
        {%- endfor %}
        {%- endfor %},
        delta_ssim,
        state
    from blocks
    where form = 'both'
    union all
    select
        coalesce(notta.label, tta.label) as label,
        coalesce(notta.model_id, tta.model_id) as model_id,
        coalesce(notta.image_id, tta.image_id) as image_id,
        coalesce(notta.block_row, tta.block_row) as block_row,
        coalesce(notta.block_col, tta.block_col) as block_col,
        notta.label is not null as has_notta,
        tta.label is not null as has_tta
        {%- for path in inference_paths() %}
        {%- for name in published_measures() %},
        {{ path }}.{{ name }}_{{ path }}
        {%- endfor %}
        {%- endfor %},
        coalesce(notta.delta_ssim, tta.delta_ssim) as delta_ssim,
        coalesce(notta.state, tta.state) as state
    from notta
    full outer join tta
        on notta.label = tta.label
        and notta.model_id = tta.model_id
        and notta.image_id = tta.image_id
        and notta.block_row = tta.block_row
        and notta.block_col = tta.block_col

),

filled as (

    select
        * replace (
            coalesce(local_ssim_notta, local_ssim_tta - delta_ssim) as local_ssim_notta,
            coalesce(local_ssim_tta, local_ssim_notta + delta_ssim) as local_ssim_tta
            {%- for path in inference_paths() %},
            cast(
                coalesce(
                    pc1_{{ path }}, sign(axis1_{{ path }}) * (exp(abs(axis1_{{ path }})) - 1)
                ) as {{ fixed() }}
            ) as pc1_{{ path }}
            {%- endfor %}
        )
    from paired

),

final as (

    select
        label,
        model_id,
        image_id,
        block_row,
        block_col,
        {{ polarity_of(axis1_of('pc1_notta')) }} as polarity_notta,
        state as stated_state,
        cast(delta_ssim as {{ fixed() }}) as stated_delta_ssim
        {%- for path in inference_paths() %}
        {%- for name, type in published_measures().items() %},
        {{ axis1_of('pc1_' ~ path) if name == 'axis1' else
            'cast(' ~ name ~ '_' ~ path ~ ' as ' ~ type ~ ')' }} as {{ name }}_{{ path }}
        {%- endfor %}
        {%- endfor %},
        has_notta,
        has_tta
    from filled

)

select * from final
