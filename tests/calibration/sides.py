"""How often intervals of the two sides of the axis hold the truth: types, components, choices.

Sums of blocks are simulated, and the SQL of `mart_axis1_types`, `mart_axis1_multiverse` and
`mart_direction_components`, rendered, makes estimates and intervals of them.
"""

from dataclasses import replace

import duckdb
import numpy as np
import polars as pl

from tests.calibration.rendered import (
    IMAGES,
    PATIENTS,
    SHAPES,
    Asked,
    count_answers,
    draw_effects,
    draw_patients,
    format_tables,
)
from tests.macros import make_environment, make_renderer

SQL = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "int_cluster_draws": "intermediate/clusters/int_cluster_draws.sql",
    "int_direction_replicates": "intermediate/axis/int_direction_replicates.sql",
    "mart_direction_components": "marts/axis/mart_direction_components.sql",
    "mart_axis1_types": "marts/axis/mart_axis1_types.sql",
    "int_choice_sides": "intermediate/axis/int_choice_sides.sql",
    "int_choice_intervals": "intermediate/axis/int_choice_intervals.sql",
    "mart_axis1_multiverse": "marts/axis/mart_axis1_multiverse.sql",
}
MACROS = (
    "constants", "special_functions", "cluster_unit", "bootstrap", "interval_end", "vocabulary",
    "axis1_types", "axis1_choices", "block_features", "growth",
)  # fmt: skip

BLOCKS, GROUPS = 256, 8
"""Blocks of an image, and groups of them that every choice of the axis puts on one side."""
GROUP_SHARES = np.array([0.05, 0.1, 0.15, 0.2, 0.2, 0.15, 0.1, 0.05])
CONCENTRATION = 10.0
"""Of the Dirichlet distribution of a patient's shares of the groups."""
PATIENT_SD, GROUP_SD, IMAGE_SD = 0.3, 0.3, 0.2
"""Spread between patients of all blocks, of a group's besides, and between a patient's images; of
a block it is 1."""
BUILDS, STUDIES = 8, 100
"""Draws of the bootstrap, and studies that share one."""
SCALES = {
    "sharp": 0.4, "texture": 0.3, "hf": 0.5, "noise": 0.8, "block": 0.6, "block16": 0.6,
    "block4": 0.6, "ring": 2.0, "mu": 1.5,
}  # fmt: skip
"""Robust spread of each component: the spread of its blocks."""
RINGED = 0.7
"""Share of the blocks that have an edge to ring at."""
LEVELS = ("sharpness", "artefact")

HEAD = f"""## Two sides of the axis: share of intervals that hold the truth, in %

Sums of {IMAGES[0]} to {IMAGES[1]} images a patient go through the SQL of mart_axis1_types,
mart_axis1_multiverse and mart_direction_components, {{studies}} studies of each size,
{{models}} to a draw of the bootstrap, each with a control of its own. The {BLOCKS} blocks of an
image are of {GROUPS} groups, of which a patient has more or fewer; a choice of the axis puts a
group on one of its sides. A component differs between groups in truth, and by chance between
patients ({PATIENT_SD:g} of a block's spread in all their blocks, {GROUP_SD:g} more in those of a
group; normal, or skewed: exponential) and images ({IMAGE_SD:g}). Of the {{choices}} choices of the
multiverse all are counted together; and the one whose interval holds the truth least often in every
other build is counted in the rest. n: of fewer studies. On fewer than 5 patients with blocks of a
side there is no interval.
"""


SIGNS = ("anchored", "returned")
SIDES = ("positive", "negative", "contrast")
TYPES = tuple(
    Asked(
        {
            "contrast": f"{level}, axis-positive less axis-negative blocks",
            "excess": f"the same {level} less the control's",
        }.get(side, f"{level} of axis-{side} blocks"),
        "mart_axis1_types",
        f"{level}_low" if side == "contrast" else f"{side}_{level}_low",
        where="model_id[1] = 's'",
    )
    for side in (*SIDES, "excess")
    for level in LEVELS
)
COMPONENT_SIDES = (("block", "positive"), ("mu", "zero"))
COMPONENTS = tuple(
    Asked(
        f"{name}, mart_direction_components",
        "mart_direction_components",
        "mean_low",
        where=f"component = '{component}' and polarity = '{side}' and model_id[1] = 's'",
    )
    for name, (component, side) in zip(
        ("blocking of axis-positive blocks", "brightness of blocks on neither side"),
        COMPONENT_SIDES,
        strict=True,
    )
)
QUESTIONS = TYPES + COMPONENTS
CHOICE_COLUMNS = tuple(f"{side}_{level}" for side in SIDES for level in LEVELS)
"""Columns of the multiverse, without the end."""


def count_sides(builds=BUILDS, studies=STUDIES, sizes=PATIENTS):
    """Simulate studies of every size and shape, and count.

    Parameters
    ----------
    builds : int
        Draws of the bootstrap.
    studies : int
        Of each size, shape and draw.
    sizes : iterable of int

    Returns
    -------
    list of rendered.Answers
    """
    places = [
        (column, number, sign)
        for column in CHOICE_COLUMNS
        for number in range(len(list_choices()))
        for sign in SIGNS
    ]
    chosen = tuple(Asked(place, "mart_axis1_multiverse", f"{place[0]}_low") for place in places)

    def ask(patients, shape, build):
        return answer_sides(patients, shape, studies, build)

    counts = count_answers(ask, QUESTIONS + chosen, sizes, builds)
    folded = [count for count in counts if isinstance(count.name, str)]
    for patients in sizes:
        for shape in SHAPES:
            for column in CHOICE_COLUMNS:
                found = [
                    count
                    for count in counts
                    if (count.patients, count.shape, count.name[0]) == (patients, shape, column)
                ]
                folded += _fold_choices(column, found)
    return folded


def _fold_choices(column, counts):
    """Give the share of all choices, its studies those of one, and of the choice that has least.

    That one is found in every other build, and counted in the rest: where it was found least often
    it lies low by chance.
    """
    builds = zip(*(count.builds for count in counts), strict=True)
    means = tuple(tuple(np.mean(build, axis=0).tolist()) for build in builds)
    least = min(counts, key=lambda count: sum(hits for hits, _ in count.builds[::2]))
    side, level = column.split("_")
    name = f"{level} of the {side} side" if side != "contrast" else f"contrast of {level}"
    return [
        replace(least, name=f"{name}, all choices", builds=means),
        replace(least, name=f"{name}, the worst choice", builds=least.builds[1::2]),
    ]


def draw_codes(choices):
    """Draw on which side each choice puts each group, and what the groups' components are in truth.

    Parameters
    ----------
    choices : int

    Returns
    -------
    tuple of numpy.ndarray
        Sides as (choices, groups): 0 negative, 1 neither, 2 positive. Means as (2, components,
        groups), of a study and of its control, in spreads of a block.
    """
    generator = np.random.default_rng(0)
    sides = np.empty((choices, GROUPS), int)
    for choice in range(choices):
        while True:
            sides[choice] = generator.choice([0, 1, 2], GROUPS, p=[0.45, 0.1, 0.45])
            shares = [GROUP_SHARES[sides[choice] == side].sum() for side in (0, 1, 2)]
            # The axis that scores has blocks of no side too.
            if min(shares[0], shares[2]) >= 0.1 and (choice or shares[1] > 0):
                break
    return sides, generator.normal(0, 0.5, (2, len(SCALES), GROUPS))


def find_truths(sides, means):
    """Population values of what the marts estimate, in robust spreads.

    Parameters
    ----------
    sides : numpy.ndarray
        One choice's, (groups,).
    means : numpy.ndarray
        Of the components, (components, groups).

    Returns
    -------
    dict of str to float
        By side and level, as `mart_axis1_multiverse` names them, and `{component}_{side}`.
    """
    found = {}
    for side, digit in (("negative", 0), ("zero", 1), ("positive", 2)):
        weights = GROUP_SHARES * (sides == digit)
        if not weights.any():
            continue
        of_side = dict(zip(SCALES, means @ weights / weights.sum(), strict=True))
        found |= {f"{name}_{side}": value for name, value in of_side.items()}
        found[f"{side}_sharpness"] = of_side["sharp"]
        found[f"{side}_artefact"] = (of_side["block"] - of_side["texture"]) / 2
    contrast = {name: found[f"{name}_positive"] - found[f"{name}_negative"] for name in SCALES}
    found["contrast_sharpness"] = contrast["sharp"]
    found["contrast_artefact"] = (contrast["ring"] + contrast["block"] - contrast["texture"]) / 3
    return found


def simulate_groups(patients, shape, studies, build, means):
    """Simulate what each group of each image of each study, and of its control, adds up to.

    Parameters
    ----------
    patients : int
    shape : {"normal", "skewed"}
    studies, build : int
    means : numpy.ndarray
        As `draw_codes` gives them.

    Returns
    -------
    polars.DataFrame
        ``model_id``, ``patient``, ``image``, ``grouping``, and of each component the number of its
        blocks and their sum.
    """
    generator, patient = draw_patients(patients, shape, build)
    image, grouping = np.divmod(np.arange(len(patient) * GROUPS), GROUPS)
    parts = []
    for study in range(studies):
        for control in (0, 1):
            shares = generator.dirichlet(CONCENTRATION * GROUP_SHARES, patients)
            blocks = generator.multinomial(BLOCKS, shares[patient])
            columns = {"patient": patient[image], "image": image, "grouping": grouping}
            for number, (name, scale) in enumerate(SCALES.items()):
                counted = generator.binomial(blocks, RINGED) if name == "ring" else blocks
                value = means[control, number] + PATIENT_SD * draw_effects(
                    generator, shape, (patients, 1)
                )
                value = (value + GROUP_SD * draw_effects(generator, shape, (patients, GROUPS)))[
                    patient
                ]
                value = value + IMAGE_SD * generator.standard_normal((len(patient), 1))
                noise = generator.standard_normal(blocks.shape) * np.sqrt(counted)
                columns[f"count_{name}"] = counted.ravel()
                columns[f"sum_{name}"] = (scale * (counted * value + noise)).ravel()
            parts.append(
                pl.DataFrame(columns).with_columns(model_id=pl.lit(f"{'sc'[control]}{study}"))
            )
    return pl.concat(parts).filter(pl.col("count_sharp") > 0)


def answer_sides(patients, shape, studies, build):
    """Let the SQL of the marts make intervals, and count.

    Parameters
    ----------
    patients : int
    shape : {"normal", "skewed"}
    studies, build : int

    Returns
    -------
    dict
        By question: answers of the studies; of choices, hits of as many studies.
    """
    choices = list_choices()
    sides, means = draw_codes(len(choices))
    truths, of_control = (find_truths(sides[0], own) for own in means)
    for level in LEVELS:
        contrast = f"contrast_{level}"
        truths |= {level: truths[contrast], f"excess_{level}": truths[contrast]}
        truths[f"excess_{level}"] -= of_control[contrast]
    with duckdb.connect() as connection:
        groups = simulate_groups(patients, shape, studies, build, means)
        build_sides(connection, groups, build, sides)
        answers = {
            question.name: question.answer(connection, truths[question.column.removesuffix("_low")])
            for question in TYPES
        }
        for question, (component, side) in zip(COMPONENTS, COMPONENT_SIDES, strict=True):
            truth = SCALES[component] * truths[f"{component}_{side}"]
            answers[question.name] = question.answer(connection, truth)
        return answers | _answer_choices(connection, choices, sides, means[0])


def list_choices():
    """Give the choices of the axis, as the project's own macro lists them."""
    return make_environment("axis1_choices", "vocabulary").globals["choices"]()


def _answer_choices(connection, choices, sides, means):
    """Give the answers of each column, choice and sign of the multiverse."""
    keys = ("feature_space", "is_scaled", "basis", "origin")
    number = {
        (choice["space"], choice["is_scaled"], choice["basis"], choice["origin"]): at
        for at, choice in enumerate(choices)
    }
    truths = [find_truths(one, means) for one in sides]
    other = {"positive": "negative", "negative": "positive", "contrast": "contrast"}
    answers = {}
    for side in SIDES:
        for level in LEVELS:
            column = f"{side}_{level}"
            for *key, sign, is_turned, low, high in connection.sql(
                f"select {', '.join(keys)}, axis_sign, is_turned, {column}_low, {column}_high"
                f" from mart_axis1_multiverse where {column}_low is not null"
            ).fetchall():
                choice = number[tuple(key)]
                truth = truths[choice][f"{other[side]}_{level}" if is_turned else column]
                truth = -truth if is_turned and side == "contrast" else truth
                answers.setdefault((column, choice, sign), []).append(low <= truth <= high)
    return answers


def build_sides(connection, groups, build, sides):
    """Build the marts of what was simulated.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    groups : polars.DataFrame
        As `simulate_groups` gives them.
    build : int
        Seeds the bootstrap.
    sides : numpy.ndarray
        As `draw_codes` gives them.
    """
    values = {"min_clusters": 5, "bootstrap_replicates": 1000}
    render = make_renderer(SQL, MACROS, var=values.get, target={"type": "duckdb"})
    connection.register("simulated", groups)
    _create_inputs(connection, build, sides)
    for name in SQL:
        connection.execute(f"create table {name} as {render(name)}")


def _create_inputs(connection, build, sides):
    """Show what was simulated as the tables that the marts read."""
    own = sides[0]
    units = 3 ** np.arange(len(sides))
    codes = pl.DataFrame(
        {
            "grouping": range(GROUPS),
            "polarity": [("negative", "zero", "positive")[side] for side in own],
            "polarities": [int(sum(units * sides[:, group])) for group in range(GROUPS)],
        }
    )
    connection.register("codes", codes)
    connection.execute(f"create table stg_raw__parameters as select '{build}' as bootstrap_seed")
    connection.execute(
        "create table int_clusters as select distinct 'i' || image as image_id,"
        " 'p' || patient as cluster_id, 'patient' as cluster_unit from simulated"
    )
    sums = "".join(
        f", cast(sum(count_{name}) as bigint) as count_{name},"
        f" sum(cast(sum_{name} as decimal(18, 6))) as sum_{name}"
        for name in SCALES
    )
    squares = "".join(f", cast(0 as decimal(18, 6)) as sum_sq_{name}" for name in SCALES)
    connection.execute(
        "create table int_image_directions as select model_id, 'i' || image as image_id, polarity,"
        f" cast(sum(count_sharp) as bigint) as block_count{sums}{squares}"
        " from simulated inner join codes using (grouping) group by model_id, image, polarity"
    )
    connection.execute(
        "create table int_image_polarities as select model_id, 'i' || image as image_id,"
        f" polarities{sums} from simulated inner join codes using (grouping)"
        " where model_id[1] = 's' group by model_id, image, polarities"
    )
    scales = ", ".join(f"('{name}', {scale})" for name, scale in SCALES.items())
    connection.execute(
        f"create table int_direction_scales as select component, cast(robust_sd as double)"
        f" as robust_sd from (values {scales}) as scales (component, robust_sd)"
    )
    connection.execute(
        "create table dim_models as select distinct model_id, model_id[1] = 'c' as is_control"
        " from simulated"
    )
    # A control's error is nearer to its own study's than to any other.
    connection.execute(
        "create table mart_model_means as select model_id, 'images' as source_id,"
        " 'notta' as inference_path, 'mse_dn2' as quantity, 'all' as subgroup_kind,"
        " pow(10, cast(model_id[2:] as integer)) * case when is_control then 1.1 else 1 end"
        " as mean from dim_models"
    )
    connection.execute(
        "create table mart_pca_basis as select 'model:' || model_id as basis_id, 1 as pc_number,"
        " 1.0 as alignment, 2.0 as eigenvalue_gap, true as is_identifiable, false as is_scoring"
        " from dim_models union all select 'standard-1', 1, 1.0, 2.0, true, true"
    )
    axes = ", ".join(
        f"('{space}', {is_scaled}, '{basis}', {number % 3 == 0})"
        for number, (space, is_scaled, basis) in enumerate(
            dict.fromkeys(
                (choice["space"], choice["is_scaled"], choice["basis"]) for choice in list_choices()
            )
        )
    )
    connection.execute(
        "create table int_choice_axes as select model_id, axes.*, 1.0 as alignment,"
        " 2.0 as eigenvalue_gap, true as is_identifiable from dim_models cross join"
        f" (values {axes}) as axes (feature_space, is_scaled, basis, is_flipped)"
    )


def format_sides(counts):
    """Format the section of the page.

    Parameters
    ----------
    counts : list of rendered.Answers

    Returns
    -------
    str
    """
    builds = counts[0].builds
    head = HEAD.format(
        studies=sum(studies for _, studies in builds),
        models=builds[0][1],
        choices=len(SIGNS) * len(list_choices()),
    )
    return head + "\n" + format_tables(counts)
