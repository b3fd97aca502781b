"""mart_model_means and mart_model_pairs: without dbt against NumPy and scipy, and on the sample."""

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats

from tests.macros import make_environment
from tests.skewed import find_ends, find_p, transform

FOLDER = "dbt_project/models"
MODELS = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "int_mean_estimates": "intermediate/comparison/int_mean_estimates.sql",
    "mart_model_means": "marts/comparison/mart_model_means.sql",
    "mart_model_pairs": "marts/comparison/mart_model_pairs.sql",
}
MACROS = (
    "constants",
    "special_functions",
    "skewed_means",
    "cluster_unit",
    "comparison",
    "fidelity",
)
QUANTITIES = {"score": (None, None), "share": (0.0, 1.0), "shift": (None, None)}
PATIENTS = 30
SEX = "sex"


@pytest.fixture(scope="module")
def build(repository):
    """Give a function that builds the marts of images' values, by model, without dbt."""
    environment = make_environment(*MACROS, compared_quantities=lambda: list(QUANTITIES))

    def run(rows, groups, baseline="alpha"):
        with duckdb.connect() as connection:
            _fill(connection, rows, groups, baseline)
            for name, path in MODELS.items():
                text = (repository / FOLDER / path).read_text()
                sql = environment.from_string(text).render()
                connection.execute(f"create table {name} as {sql}")
            return {
                name: connection.sql(f"select * from {name}").pl()
                for name in ("mart_model_means", "mart_model_pairs")
            }

    return run


def _fill(connection, rows, groups, baseline):
    columns = ", ".join(f"{name} decimal(38, 12)" for name in QUANTITIES)
    connection.execute(
        "create table int_image_quantities (source_id varchar, inference_path varchar,"
        f" model_id varchar, image_id varchar, cluster_id varchar, cluster_unit varchar, {columns})"
    )
    connection.executemany(
        "insert into int_image_quantities values ('images', 'notta', ?, ?, ?, 'patient'"
        + ", ?" * len(QUANTITIES)
        + ")",
        [
            (model, image, image.split("_")[0], *values)
            for (model, image), values in sorted(rows.items())
        ],
    )
    connection.execute("create table int_clusters as select unnest(range(40)) as cluster_id")
    connection.execute(
        "create table int_quantities (quantity varchar, level varchar, unit varchar,"
        " lowest double, highest double)"
    )
    connection.executemany(
        "insert into int_quantities values (?, 'image', 'dn', ?, ?)",
        [(name, *ends) for name, ends in QUANTITIES.items()],
    )
    connection.execute(
        "create table int_image_subgroups (image_id varchar, subgroup_kind varchar,"
        " subgroup varchar)"
    )
    images = {image for _, image in rows}
    connection.executemany(
        "insert into int_image_subgroups values (?, ?, ?)",
        [(image, "all", "all") for image in images]
        + [(image, SEX, groups[image]) for image in images if image in groups],
    )
    connection.execute(f"create table stg_raw__parameters as select '{baseline}' as baseline_model")


def draw_images():
    """Values of three models and a twin on images that not all have, and the images' groups."""
    generator, rows, groups = np.random.default_rng(8), {}, {}
    for patient in range(PATIENTS):
        shared = generator.standard_exponential()
        for number in range(1 + patient % 3):
            image = f"p{patient:02d}_{number}"
            groups[image] = "F" if patient % 2 else "M"
            for model in ("alpha", "beta", "gamma"):
                if model == "beta" and (patient, number) in {(4, 1), (7, 0)}:
                    continue
                score = shared + generator.standard_normal() + 0.4 * (model == "beta")
                share = None if patient % 5 == 0 and model == "gamma" else 0.02 * shared
                # Thirds and tenths: a shift that is the same in all images, digits that are not.
                shift = {"alpha": 0.1, "beta": 0.4, "gamma": 0.1 + generator.random()}[model]
                rows[model, image] = (round(score, 12), share and round(share, 12), shift)
            rows["twin", image] = rows["alpha", image]
    return rows, groups


ROWS, GROUPS = draw_images()


@pytest.fixture(scope="module")
def marts(build):
    return build(ROWS, GROUPS)


def find_patients(quantity, model_a, model_b=None, group=None):
    """Patients' means, each patient's images first; image by image less those of another model."""
    place, patients = list(QUANTITIES).index(quantity), {}
    for (model, image), values in ROWS.items():
        if model != model_a or (group is not None and GROUPS[image] != group):
            continue
        value = values[place]
        if model_b is not None:
            other = ROWS.get((model_b, image), [None] * len(QUANTITIES))[place]
            value = None if value is None or other is None else value - other
        if value is not None:
            patients.setdefault(image.split("_")[0], []).append(value)
    return [np.mean(patients[name]) for name in sorted(patients)], sum(map(len, patients.values()))


def read(frame, **keys):
    (row,) = frame.filter(**keys).to_dicts()
    return row


@pytest.mark.parametrize("group", [None, "F", "M"])
@pytest.mark.parametrize("quantity", ["score", "share"])
@pytest.mark.parametrize("model", ["alpha", "beta", "gamma"])
def test_a_mean_is_over_patients_of_their_images_with_halls_interval(marts, model, quantity, group):
    row = read(
        marts["mart_model_means"],
        model_id=model,
        quantity=quantity,
        subgroup_kind=SEX if group else "all",
        subgroup=group or "all",
    )
    values, images = find_patients(quantity, model, group=group)
    assert (row["cluster_count"], row["image_count"]) == (len(values), images)
    assert row["mean"] == pytest.approx(np.mean(values), abs=1e-11)
    assert row["cluster_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-11)
    if len(values) < 15:
        assert (row["mean_low"], row["mean_high"]) == (None, None)
        return
    low, high = find_ends(values)
    least, greatest = QUANTITIES[quantity]
    low = low if least is None else max(low, least)
    high = high if greatest is None else min(high, greatest)
    assert (row["mean_low"], row["mean_high"]) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("group", [None, "F", "M"])
@pytest.mark.parametrize("quantity", ["score", "share"])
@pytest.mark.parametrize("pair", [("alpha", "beta"), ("alpha", "gamma"), ("beta", "gamma")])
def test_a_difference_is_paired_on_the_images_both_have(marts, pair, quantity, group):
    row = read(
        marts["mart_model_pairs"],
        model_a=pair[0],
        model_b=pair[1],
        quantity=quantity,
        subgroup_kind=SEX if group else "all",
        subgroup=group or "all",
    )
    values, images = find_patients(quantity, *pair, group=group)
    assert (row["cluster_count"], row["image_count"]) == (len(values), images)
    assert row["difference"] == pytest.approx(np.mean(values), abs=1e-11)
    assert row["mean_a"] - row["mean_b"] == pytest.approx(row["difference"], abs=1e-11)
    found = [row[name] for name in ("difference_low", "difference_high", "t", "p_value")]
    if len(values) < 15 or np.ptp(values) == 0:
        assert found == [None] * 4
        return
    t = transform(np.mean(values) / stats.sem(values), values)
    expected = [*find_ends(values), t, find_p(t, values)]
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-9)
    # Interval and test never disagree.
    assert (found[0] <= 0 <= found[1]) == (found[3] >= 0.05)


def test_the_mean_of_a_pair_is_over_the_shared_images_alone(marts):
    shared = {image for model, image in ROWS if model == "beta"}
    patients = {}
    for (model, image), values in ROWS.items():
        if model == "alpha" and image in shared:
            patients.setdefault(image.split("_")[0], []).append(values[0])
    row = read(
        marts["mart_model_pairs"],
        model_a="alpha",
        model_b="beta",
        quantity="score",
        subgroup_kind="all",
    )
    expected = np.mean([np.mean(values) for values in patients.values()])
    assert row["mean_a"] == pytest.approx(expected, abs=1e-11)


def test_a_model_under_another_name_differs_by_exactly_nothing_and_has_no_p(marts):
    rows = marts["mart_model_pairs"].filter(model_a="alpha", model_b="twin")
    assert rows.height == len(QUANTITIES) * 3
    assert rows["difference"].to_list() == [0.0] * rows.height
    for name in ("difference_low", "difference_high", "t", "p_value", "family", "p_holm"):
        assert rows[name].null_count() == rows.height


def test_a_shift_that_is_the_same_in_all_images_has_no_spread(marts):
    row = read(
        marts["mart_model_pairs"],
        model_a="alpha",
        model_b="beta",
        quantity="shift",
        subgroup_kind="all",
    )
    assert row["difference"] == pytest.approx(-0.3, abs=1e-15)
    assert row["p_value"] is None


def correct(p_values):
    """Holm's step-down correction of a dict of p values, in its own words."""
    ordered, corrected, largest = sorted(p_values, key=p_values.get), {}, 0.0
    for tested, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - tested) * p_values[name]))
        corrected[name] = largest
    return corrected


def test_a_family_is_a_quantitys_pairs_in_all_groups_of_a_kind(marts):
    tested = marts["mart_model_pairs"].filter(pl.col("p_value").is_not_null())
    assert set(tested["family"]) >= {"images: score, notta, all", "images: score, notta, sex"}
    for (family,), rows in tested.group_by("family"):
        ways = {(row["quantity"], row["subgroup_kind"]) for row in rows.to_dicts()}
        assert len(ways) == 1, family
        p = {(r["model_a"], r["model_b"], r["subgroup"]): r["p_value"] for r in rows.to_dicts()}
        for row in rows.to_dicts():
            corrected = correct(p)[row["model_a"], row["model_b"], row["subgroup"]]
            assert row["p_holm"] == pytest.approx(corrected, rel=1e-12)
            assert row["family_size"] == len(p)
    # Five pairs of four models: the twins are not tested.
    assert tested.filter(family="images: score, notta, all")["family_size"].to_list() == [5] * 5


def test_a_third_model_changes_no_number_of_a_pair_but_holms(build, marts):
    alone = build({key: values for key, values in ROWS.items() if key[0] in ("alpha", "beta")}, {})
    family = ["family_size", "p_holm"]
    pair = marts["mart_model_pairs"].filter(model_a="alpha", model_b="beta", subgroup_kind="all")
    assert (
        alone["mart_model_pairs"]
        .drop(family)
        .sort("quantity")
        .equals(pair.drop(family).sort("quantity"))
    )


def test_fourteen_patients_have_a_mean_and_nothing_that_rests_on_more(build):
    few = {key: values for key, values in ROWS.items() if key[1] < "p14"}
    enough = {key: values for key, values in ROWS.items() if key[1] < "p15"}
    for rows, is_tested in ((few, False), (enough, True)):
        found = build(rows, {})
        mean = read(found["mart_model_means"], model_id="gamma", quantity="score")
        pair = read(found["mart_model_pairs"], model_a="alpha", model_b="gamma", quantity="score")
        assert (mean["mean_low"] is not None) == is_tested
        assert (pair["p_value"] is not None) == is_tested
        assert mean["mean"] is not None
        assert pair["difference"] is not None


def test_of_very_many_models_each_is_compared_with_the_baseline(build):
    names = [f"m{number:02d}" for number in range(21)]
    rows = {(name, "p00_0"): (1.0, 0.5, 0.1) for name in names}
    pairs = build(rows, {}, baseline="m07")["mart_model_pairs"]
    found = {(row["model_a"], row["model_b"]) for row in pairs.to_dicts()}
    assert found == {(min(name, "m07"), max(name, "m07")) for name in names if name != "m07"}
    rows.pop(("m20", "p00_0"))
    all_pairs = build(rows, {}, baseline="m07")["mart_model_pairs"]
    assert all_pairs.height == 20 * 19 // 2 * len(QUANTITIES)


def test_the_sample_has_every_quantity_of_blocks_and_images(query):
    components = query("select column_stem from dim_components")["column_stem"].to_list()
    blocks = ["local_ssim", "axis1", "mse_dn2", *components]
    blocks += [f"{kind}_dn2" for kind in ("invented", "lost", "exaggerated", "shifted")]
    held = [f"lr_{kind}_dn2" for kind in ("bent", "invented", "lost", "amplified")]
    held += ["lr_rms_dn", "null_correlation"]
    blocks += held
    metrics = query("select metric from dim_metrics")["metric"].to_list()
    assert "haarpsi" in metrics
    means = query("select * from mart_model_means")
    for (model, path), rows in means.group_by("model_id", "inference_path"):
        expected = sorted([*blocks, "lr_contradicted_ratio", *metrics])
        assert sorted(rows["quantity"]) == expected, (model, path)
    # A block is contradicted or not; the share is of those that have a judged LR pixel.
    for path in ("notta", "tta"):
        images = query(
            "select model_id, image_id,"
            f" avg(case when lr_contradicted_px_{path} > 0 then 1.0 else 0.0 end)"
            f" filter (where lr_judged_px_{path} > 0) as value"
            " from fct_blocks group by model_id, image_id"
        )
        check_means(means, images, "lr_contradicted_ratio", path, 1e-12)
    for quantity in blocks:
        for path in ("notta", "tta"):
            images = query(
                f"select model_id, image_id, avg(cast({quantity}_{path} as double)) as value"
                " from fct_blocks group by model_id, image_id"
            )
            check_means(means, images, quantity, path, 1e-6)
    for metric in metrics:
        for path in ("notta", "tta"):
            images = query(
                f"select model_id, image_id, {metric} as value from fct_image_quality"
                f" where source_id = 'images' and inference_path = '{path}'"
            )
            check_means(means, images, metric, path, 1e-9)


def check_means(means, images, quantity, path, tolerance):
    """Compare with the mean over images, each of which is a cluster of the sample."""
    for (model,), rows in images.group_by("model_id"):
        expected = rows["value"].mean()
        found = means.filter(model_id=model, inference_path=path, quantity=quantity, subgroup="all")
        if expected is None:
            assert found["mean"].to_list() in ([], [None]), (model, quantity, path)
            continue
        assert found["mean"].item() == pytest.approx(expected, rel=1e-12, abs=tolerance), quantity
        assert found["image_count"].item() == rows["value"].count()


def test_pairs_of_the_sample_are_differences_of_its_means(query):
    wrong = query(
        "select pairs.* from mart_model_pairs as pairs"
        " inner join mart_model_means as a on a.model_id = pairs.model_a"
        " and a.inference_path = pairs.inference_path and a.quantity = pairs.quantity"
        " inner join mart_model_means as b on b.model_id = pairs.model_b"
        " and b.inference_path = pairs.inference_path and b.quantity = pairs.quantity"
        " where abs(pairs.difference - (a.mean - b.mean)) > 1e-9"
        " or pairs.p_value is not null"
    )
    assert wrong.height == 0
    assert (
        query("select count(*) as n from mart_model_pairs where difference is not null")["n"].item()
        > 500
    )
