"""Marts, recomputed from the blocks with numpy and the bootstrap's own draws."""

import numpy as np
import polars as pl
import pytest

COMPONENTS = ("sharp", "texture", "hf", "noise", "block", "block16", "block4", "ring", "mu")


def sum_by_image(rows, column):
    """Count and sum of a column per image, images in name order."""
    grouped = rows.group_by("image_id").agg(
        pl.col(column).count().alias("count"), pl.col(column).sum().alias("sum")
    )
    names = sorted(rows["image_id"].unique())
    by_name = {row["image_id"]: row for row in grouped.iter_rows(named=True)}
    return np.array([[by_name[name]["count"], by_name[name]["sum"]] for name in names])


def test_direction_components_are_means_with_stretched_intervals(query, blocks, draws, stretch):
    mart = query("select * from mart_direction_components")
    assert mart.height == 5 * 2 * len(COMPONENTS)
    for row in mart.iter_rows(named=True):
        rows = blocks.filter(model_id=row["model_id"], polarity_notta=row["polarity"])
        column = f"d_{row['component']}_notta"
        assert row["measured_count"] == rows[column].count()
        assert row["block_count"] == rows.height
        assert row["mean"] == pytest.approx(rows[column].mean(), abs=1e-9)
        assert row["sd"] == pytest.approx(rows[column].std(ddof=0), rel=1e-6, abs=1e-6)
        sums = sum_by_image(rows, column)[draws].sum(1)
        ends = np.quantile(sums[:, 1] / sums[:, 0], [0.025, 0.975])
        expected = stretch(row["mean"], ends, 6)
        assert (row["mean_low"], row["mean_high"]) == pytest.approx(expected, abs=1e-9)
        assert (row["cluster_unit"], row["cluster_count"]) == ("image", 6)


def test_the_robust_spread_is_read_from_exact_quartiles(query, blocks):
    mart = query("select distinct component, robust_sd from mart_direction_components")
    assert mart.height == 9
    for component, robust_sd in mart.iter_rows():
        values = blocks[f"d_{component}_notta"].drop_nulls().to_numpy()
        low, high = np.quantile(values, [0.25, 0.75], method="inverted_cdf")
        assert robust_sd == pytest.approx((high - low) / 1.349, abs=1.01e-4 / 1.349)


def test_the_tta_effect_pairs_blocks_and_says_nothing_without_tta(query, blocks, draws, stretch):
    mart = query("select * from mart_tta_effect")
    assert {row["model_id"] for row in mart.iter_rows(named=True)} > {"bicubic"}
    for row in mart.iter_rows(named=True):
        if row["model_id"] == "bicubic":
            assert row["pair_count"] == 0
            assert row["mean_change"] is row["change_low"] is row["raised_ratio"] is None
            continue
        names = {"abs_pc1": ("pc1_notta", "pc1_tta")}.get(
            row["quantity"], (f"{row['quantity']}_notta", f"{row['quantity']}_tta")
        )
        rows = blocks.filter(model_id=row["model_id"]).select(
            "image_id", *(pl.col(name).alias(path) for name, path in zip(names, "nt", strict=True))
        )
        if row["quantity"] == "abs_pc1":
            rows = rows.with_columns(pl.col("n").abs(), pl.col("t").abs())
        rows = rows.drop_nulls().with_columns(change=pl.col("t") - pl.col("n"))
        assert row["pair_count"] == rows.height
        assert row["mean_change"] == pytest.approx(rows["change"].mean(), abs=1e-9)
        assert row["raised_ratio"] == (rows["t"] > rows["n"]).mean()
        sums = sum_by_image(rows, "change")[draws].sum(1)
        ends = np.quantile(sums[:, 1] / sums[:, 0], [0.025, 0.975])
        expected = stretch(row["mean_change"], ends, 6)
        assert (row["change_low"], row["change_high"]) == pytest.approx(expected, abs=1e-9)


def test_the_readme_says_of_hidden_errors_what_the_sample_holds(query, repository):
    rows = query(
        "select model_id, zone_ratio, silent_ratio, zone_silent_ratio from mart_tier3_states"
        " where indicator = 'error' and judged_paths = 'both' and zone = 'hidden'"
        " and state = 'Persistent' and block_count is not null"
    )
    share = {row["model_id"]: row for row in rows.iter_rows(named=True)}
    digital = share["upscayl_digital"]
    text = " ".join((repository / "README.md").read_text(encoding="utf-8").split())
    assert f"{100 * digital['zone_ratio']:.0f} % by more than 25 dn²" in text
    for name, model_id in (
        ("animevideov3", "realesr_animevideov3"),
        ("Upscayl Standard", "upscayl_standard"),
    ):
        assert f"{name} {100 * share[model_id]['zone_ratio']:.0f} %" in text
    assert "SPAN none" in text
    assert share["span_x2_ch48"]["zone_ratio"] == 0
    assert f"({100 * digital['silent_ratio']:.0f} of 100 for Digital)" in text
    assert f"so are {100 * digital['zone_silent_ratio']:.0f} of 100" in text


def test_axis1_types_follow_from_what_each_side_did(query):
    means = query("select * from mart_direction_components")
    for row in query("select * from mart_axis1_types").iter_rows(named=True):
        own = means.filter(model_id=row["model_id"])

        def standardised(polarity, component, own=own):
            chosen = own.filter(polarity=polarity, component=component)
            return chosen["standardised_mean"].item()

        contrast = {
            name: standardised("positive", name) - standardised("negative", name)
            for name in ("sharp", "texture", "block", "ring")
        }
        for name, value in contrast.items():
            assert row[f"contrast_{name}"] == pytest.approx(value, abs=1e-12)
        artefact = (contrast["ring"] + contrast["block"] - contrast["texture"]) / 3
        assert row["contrast_artefact"] == pytest.approx(artefact, abs=1e-12)
        for side in ("positive", "negative"):
            added = (standardised(side, "block") - standardised(side, "texture")) / 2
            assert row[f"{side}_artefact"] == pytest.approx(added, abs=1e-12)
            sharpness = standardised(side, "sharp")
            assert row[f"{side}_sharpness"] == pytest.approx(sharpness, abs=1e-12)
        is_grain = standardised("positive", "noise") > 2 * standardised("positive", "sharp")
        if row["own_axis_alignment"] < 0.9:
            expected = "not identifiable"
        elif is_shown(row, "positive_artefact", 1) and is_shown(row, "negative_sharpness", -1):
            expected = "A"
        elif (
            is_shown(row, "positive_sharpness", 1)
            and is_shown(row, "negative_artefact", 1)
            and not is_grain
        ):
            expected = "B"
        else:
            expected = "mixed"
        assert row["axis1_type"] == expected


def is_shown(row, name, sign):
    """Whether a mean, and where there is one its interval, lies on a side of 0."""
    ends = (row[name], row[f"{name}_low"], row[f"{name}_high"])
    return all(sign * end > 0 for end in ends if end is not None)


def test_levels_of_a_side_have_the_interval_of_its_images(query, blocks, draws, stretch):
    scales = dict(
        query(
            "select component, max(robust_sd) from mart_direction_components group by component"
        ).rows()
    )
    rows = query("select * from mart_axis1_types where model_id = 'upscayl_digital'")
    (row,) = rows.iter_rows(named=True)
    own = blocks.filter(model_id="upscayl_digital")
    for side in ("positive", "negative"):
        chosen = own.filter(polarity_notta=side)
        means = {}
        for name in ("sharp", "block", "texture"):
            sums = sum_by_image(
                chosen.select("image_id", value=pl.col(f"d_{name}_notta")), "value"
            )[draws].sum(1)
            means[name] = sums[:, 1] / sums[:, 0] / scales[name]
        for level, values in {
            "sharpness": means["sharp"],
            "artefact": (means["block"] - means["texture"]) / 2,
        }.items():
            ends = np.quantile(values, [0.025, 0.975])
            expected = stretch(row[f"{side}_{level}"], ends, 6)
            found = (row[f"{side}_{level}_low"], row[f"{side}_{level}_high"])
            assert found == pytest.approx(expected, abs=1e-9)


def test_the_axis_distribution_counts_every_scored_block(query, blocks):
    mart = query("select * from mart_axis1_distribution").with_columns(
        pl.col("bin_low").cast(pl.Float64)
    )
    for path in ("notta", "tta"):
        axis = blocks.filter(model_id="span_x2_ch48")[f"axis1_{path}"].to_numpy()
        # Six decimals: a bin's end is in the bin that it begins.
        bins, counts = np.unique(np.floor(np.round(10 * axis, 5)), return_counts=True)
        rows = mart.filter(model_id="span_x2_ch48", inference_path=path).sort("bin_low")
        assert np.allclose(rows["bin_low"].to_numpy(), bins / 10)
        assert list(rows["block_count"]) == list(counts)
    assert mart.filter(model_id="bicubic", inference_path="tta").is_empty()


def test_coverage_names_the_cause_of_every_missing_block(query):
    rows = {
        (row["model_id"], row["inference_path"]): row
        for row in query("select * from mart_coverage").iter_rows(named=True)
    }
    assert rows["bicubic", "notta"]["measured_block_count"] == 6 * 64 * 64
    assert rows["bicubic", "tta"]["not_declared_block_count"] == 6 * 64 * 64
    assert len(rows) == 10


@pytest.mark.long
def test_every_table_states_its_grain_and_every_column_its_meaning(query, sample_study):
    tables = query("select * from dim_tables")
    assert "fct_blocks" in list(tables["table_name"])
    for row in tables.iter_rows(named=True):
        assert "One row per" in row["description"]
        count = query(
            f"select count(*) as n, count(distinct ({', '.join(row['grain'])})) as distinct_n"
            f" from {row['table_name']}"
        )
        assert count["n"].item() == count["distinct_n"].item()
    bare = query(
        "select table_name, column_name from duckdb_columns()"
        " where comment is null and table_name != 'dim_tables' and not internal"
        " and schema_name = 'main'"
    )
    assert bare.is_empty()


def test_rule_overlap_counts_images_on_which_either_and_both_rules_fire(query):
    flags = query("select * from fct_rule_flags where source_id = 'images'")
    pairs = query(
        "select rule_set, population, first_rule_id, second_rule_id, both_count, either_count"
        " from mart_rule_overlap where source_id = 'images'"
    )
    fired, expected = {}, {}
    for row in flags.iter_rows(named=True):
        images = fired.setdefault((row["rule_set"], row["population"]), {})
        image = (row["model_id"], row["inference_path"], row["image_id"])
        images.setdefault(row["rule_id"], set())
        if row["is_flagged"]:
            images[row["rule_id"]].add(image)
    for key, rules in fired.items():
        for first, ones in rules.items():
            for second in rules.keys() - {first}:
                counts = len(ones & rules[second]), len(ones | rules[second])
                expected[*key, first, second] = counts
    found = {tuple(row[:4]): tuple(row[4:]) for row in pairs.iter_rows()}
    assert found == expected
    assert any(both for both, _ in expected.values())


def test_only_animevideov3_repeats_without_tta_and_p7_does_not_tell(query, repository):
    images = query("select * from fct_image_quality where source_id = 'images'")
    found = images.filter(pl.col("repetition_strength") >= 1.4)
    assert found.height == 5
    assert set(found["model_id"]) == {"realesr_animevideov3"}
    assert set(found["inference_path"]) == {"notta"}
    assert set(found["repetition_period_px"]) == {2.0}
    assert images.filter("is_repeated").equals(found)
    assert images["repetition_period_px"].count() == found.height
    assert images["is_repeated"].null_count() == 0
    rest = images.filter(~pl.col("is_repeated") & (pl.col("model_id") != "realesr_animevideov3"))
    assert rest["repetition_strength"].max() < 1.25
    asked = query((repository / "analysis/cookbook/what_repeats.sql").read_text().rstrip(";\n"))
    assert asked.height == 9 * 3
    assert asked.filter(pl.col("repeated_count") > 0)["image_count"].to_list() == [6, 6, 6]
    first = asked.row(0, named=True)
    assert (first["repeated_count"], first["usual_period_px"]) == (5, 2.0)
    flags = query(
        "select model_id, inference_path, image_id, is_flagged from fct_rule_flags"
        " where source_id = 'images' and rule_set = 'v2_current' and rule_id = 'P7'"
        f" and population = '{first['population']}'"
    )
    fired = found.join(flags, on=["model_id", "inference_path", "image_id"])["is_flagged"].sum()
    assert first["p7_where_repeated_pct"] == pytest.approx(20.0 * fired)
