{#- A site's transfer is the product of what changed in the restored image with what was drawn, over
    what was drawn; means of sites within a patient, then of patients, each in a stated order. -#}
{%- set groups = ['model_id', 'inference_path', 'kind', 'signal_part', 'contrast_dn'] -%}
{%- set key = groups | join(', ') -%}
with injections as (

    select * from {{ ref('stg_raw__injections') }}
    where arm = 'through' and energy_dn2 > 0

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

transferred as (

    select
        injections.model_id,
        injections.inference_path,
        injections.kind,
        injections.signal_part,
        injections.contrast_dn,
        injections.image_id,
        injections.site_number,
        clusters.cluster_id,
        clusters.cluster_unit,
        injections.response_dn2 / injections.energy_dn2 as transfer,
        injections.range_dn2 / injections.energy_dn2 as range_bound,
        injections.residue_dn2 / injections.energy_dn2 as residue
    from injections
    inner join clusters on injections.source_image_id = clusters.image_id

),

clustered as (

    select
        {{ key }},
        cluster_id,
        cluster_unit,
        count(*) as site_count,
        count(*) filter (where transfer >= {{ constant('kept_transfer') }}) as kept_count
        {%- for name in ['transfer', 'range_bound', 'residue'] %},
        round({{ ordered_mean(name, 'image_id, site_number') }}, 12) as {{ name }}
        {%- endfor %}
    from transferred
    group by {{ key }}, cluster_id, cluster_unit

),

gathered as (

    select
        {{ key }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) as cluster_count,
        cast(sum(site_count) as bigint) as site_count,
        cast(sum(kept_count) as bigint) as kept_count,
        list(transfer order by cluster_id) as transfers
        {%- for name in ['transfer', 'range_bound', 'residue'] %},
        {{ ordered_mean(name, 'cluster_id') }} as {{ name }}
        {%- endfor %}
    from clustered
    group by {{ key }}

),

final as (

    select
        gathered.model_id,
        gathered.inference_path,
        gathered.kind,
        gathered.signal_part,
        gathered.contrast_dn,
        gathered.cluster_unit,
        gathered.cluster_count,
        gathered.site_count,
        gathered.transfer,
        {%- for end, sign in {'low': '-', 'high': '+'}.items() %}
        case
            when gathered.cluster_count >= {{ var('min_clusters') }}
                then gathered.transfer
                    {{ sign }} limits.t_limit * {{ standard_error('transfers', 'transfer') }}
        end as transfer_{{ end }},
        {%- endfor %}
        gathered.range_bound,
        gathered.residue,
        gathered.kept_count,
        cast(gathered.kept_count as double) / gathered.site_count as kept_ratio
    from gathered
    left join limits on gathered.cluster_count - 1 = limits.df

)

select * from final
