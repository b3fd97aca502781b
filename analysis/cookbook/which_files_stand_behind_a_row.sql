-- Which source files stand behind a row of a table or its export?
-- own: images that the row itself was measured on. shared: files that reach it through what all
-- rows share, such as the basis of the axis. Change table, model and image in the first CTE.
-- One row per source file.
with recursive chosen as (

    select
        'fct_blocks' as table_name,
        (select min(model_id) from dim_models) as model_id,
        (select min(image_id) from dim_images) as image_id

),

behind as (

    select
        edges.parent_kind as kind,
        edges.parent_name as name,
        edges.parent_sha256 as sha256
    from mart_provenance as edges
    inner join chosen on edges.child_kind = 'mart' and edges.child_name = chosen.table_name
    union
    select
        edges.parent_kind,
        edges.parent_name,
        edges.parent_sha256
    from mart_provenance as edges
    inner join behind on edges.child_kind = behind.kind and edges.child_name = behind.name

),

own_files as (

    select
        -- concat_ws leaves out what is NULL: references and LR images are of no model.
        concat_ws('/', files.role, files.model_id, files.inference_path, files.file_name) as name
    from dim_source_files as files
    inner join chosen
        on
            files.image_id = chosen.image_id
            and coalesce(files.model_id, chosen.model_id) = chosen.model_id

)

select
    case when own_files.name is null then 'shared' else 'own' end as reaches_it_as,
    behind.name as source_file,
    behind.sha256
from behind
left join own_files on behind.name = own_files.name
where behind.kind = 'source_file'
order by reaches_it_as, source_file;
