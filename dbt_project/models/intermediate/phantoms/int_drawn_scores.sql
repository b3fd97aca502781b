{#- Scores of places by blocks, and of images by their metrics: what is told from shams alike. -#}
{%- set columns = injection_groups() + [
    'detector', 'reading', 'cluster_id', 'cluster_unit', 'score',
] -%}
with sites as (

    select * from {{ ref('int_site_scores') }}

),

images as (

    select * from {{ ref('int_image_scores') }}

),

final as (

    select {{ columns | join(', ') }}
    from sites
    union all
    select {{ columns | join(', ') }}
    from images

)

select * from final
