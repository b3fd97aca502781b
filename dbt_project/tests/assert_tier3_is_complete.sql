-- A state is NULL exactly where an input is NULL, every NULL has a cause, every block is counted
-- once for each indicator, and each pair of its flags has one state (definitions E.6).
with coverage as (

    select * from {{ ref('mart_tier3_coverage') }}

),

states as (

    select
        model_id,
        indicator,
        judged_paths,
        sum(block_count) as block_count
    from {{ ref('mart_tier3_states') }}
    group by model_id, indicator, judged_paths

),

crosstab as (

    select * from {{ ref('mart_tier3_crosstab') }}

),

blocks as (

    select
        model_id,
        indicator,
        judged_paths,
        sum(block_count) as block_count
    from {{ ref('int_image_states') }}
    group by model_id, indicator, judged_paths

)

select model_id, indicator, 'unexplained' as problem
from coverage
where outcome = 'unexplained'
union all
select coverage.model_id, coverage.indicator, 'evaluated blocks without a state' as problem
from coverage
left join states
    on coverage.model_id = states.model_id
    and coverage.indicator = states.indicator
    and coverage.judged_paths = states.judged_paths
where coverage.outcome = 'evaluated' and coverage.block_count != coalesce(states.block_count, 0)
union all
select blocks.model_id, blocks.indicator, 'blocks not counted once' as problem
from blocks
left join coverage
    on blocks.model_id = coverage.model_id
    and blocks.indicator = coverage.indicator
    and blocks.judged_paths = coverage.judged_paths
group by blocks.model_id, blocks.indicator, blocks.judged_paths, blocks.block_count
having blocks.block_count is distinct from sum(coverage.block_count)
union all
select model_id, indicator, 'a pair with no state or several' as problem
from crosstab
where block_count > 0 and state_count != 1
