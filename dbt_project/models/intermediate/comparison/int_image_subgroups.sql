{#- The groups an image belongs to, as far as its labels say: `all` always, and one of each finding
    it has. No age is above 120: the published list has some, which are errors. -#}
with images as (

    select * from {{ ref('int_clusters') }}

),

labels as (

    select * from {{ ref('stg_raw__labels') }}

),

named as (

    select
        image_id,
        'all' as subgroup_kind,
        'all' as subgroup
    from images
    union all
    select
        image_id,
        'sex' as subgroup_kind,
        sex as subgroup
    from labels
    union all
    select
        image_id,
        'age_band' as subgroup_kind,
        case
            when age_years between 0 and 17 then '0-17'
            when age_years between 18 and 39 then '18-39'
            when age_years between 40 and 59 then '40-59'
            when age_years between 60 and 79 then '60-79'
            when age_years between 80 and 120 then '80+'
        end as subgroup
    from labels
    union all
    select
        image_id,
        'view' as subgroup_kind,
        view_position as subgroup
    from labels
    union all
    select
        image_id,
        'finding' as subgroup_kind,
        trim(unnest(string_split(finding_labels, '|'))) as subgroup
    from labels

),

final as (

    select
        image_id,
        subgroup_kind,
        subgroup
    from named
    where subgroup != ''
    group by image_id, subgroup_kind, subgroup

)

select * from final
