-- The seed holds exactly the current rules that macros/vocabulary.sql lists.
with listed as (

    select unnest({{ current_rules() }}) as rule_id

),

seeded as (

    select rule_id from {{ ref('rules') }}
    where rule_set = 'v2_current'

)

select coalesce(listed.rule_id, seeded.rule_id) as rule_id
from listed
full outer join seeded on listed.rule_id = seeded.rule_id
where listed.rule_id is null or seeded.rule_id is null
