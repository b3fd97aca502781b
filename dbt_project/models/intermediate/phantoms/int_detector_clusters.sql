with scores as (

    select * from {{ ref('int_drawn_scores') }}

),

{{ roc_clusters() }}

select * from final
