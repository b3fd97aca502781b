{#- The tiles whose borders are searched for seams in a model's images: its own, and in the
    baseline's those of every model, which are compared with it at the same places. -#}
with models as (

    select * from {{ ref('dim_models') }}

),

tiled as (

    select
        model_id,
        tile_px
    from models
    where tile_px is not null

),

final as (

    select
        model_id,
        tile_px
    from tiled
    union
    select
        models.model_id,
        tiled.tile_px
    from models
    cross join tiled
    where models.is_baseline

)

select * from final
