-- What has to be made again if a source file changes?
-- raw_file: named as in raw/. mart: a table of this warehouse, and its files in exports/.
-- Change the file in the first CTE; raw/sources.sha256 lists their names.
-- One row per artefact.
with recursive chosen as (

    select min(parent_name) as name
    from mart_provenance
    where parent_kind = 'source_file'

),

after as (

    select
        edges.child_kind as kind,
        edges.child_name as name
    from mart_provenance as edges
    inner join chosen on edges.parent_kind = 'source_file' and edges.parent_name = chosen.name
    union
    select
        edges.child_kind,
        edges.child_name
    from mart_provenance as edges
    inner join after on edges.parent_kind = after.kind and edges.parent_name = after.name

)

select
    kind,
    name
from after
where kind in ('raw_file', 'mart')
order by kind desc, name;
