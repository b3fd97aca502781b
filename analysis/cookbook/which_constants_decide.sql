-- Which numbers were chosen here, which are published, and what does each decide? `section` is of
-- docs/definitions.md. What a study chooses itself is in its file.
-- One row per constant, what is this project's own first.
select
    constant,
    value,
    unit,
    section,
    is_own,
    decides
from dim_constants
order by is_own desc, section, constant;
