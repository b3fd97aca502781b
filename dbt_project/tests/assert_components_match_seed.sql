-- The seed describes exactly the components that macros/vocabulary.sql lists.
with listed as (

    select unnest({{ components() }}) as component

),

described as (

    select component from {{ ref('direction_components') }}

)

select coalesce(listed.component, described.component) as component
from listed
full outer join described on listed.component = described.component
where listed.component is null or described.component is null
