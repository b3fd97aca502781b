with scores as (

    select * from {{ ref('int_located_scores') }}

),

{{ roc_clusters() }}

select * from final
