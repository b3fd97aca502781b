{#- The tiles whose borders are searched for seams in a model's images: its own, and in the
    baseline's those of every model, which are compared with it at the same places. In a
    study with LR images each grid twice: where it is, and moved by half a tile, where no model can
    have a seam. -#}
with models as (

    select * from {{ ref('dim_models') }}

),

images as (

    select * from {{ ref('stg_raw__images') }}

),

tiled as (

    select
        model_id,
        tile_px
    from models
    where tile_px is not null

),

searched as (

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

),

-- Moved by whole blocks, so that seams lie in the blocks as they do unmoved.
final as (

    select
        model_id,
        tile_px,
        0 as phase_px
    from searched
    union all
    select
        model_id,
        tile_px,
        cast(8 * (tile_px // 16) as integer) as phase_px
    from searched
    where exists (select 1 from images where lr_rule_status is not null)

)

select * from final
