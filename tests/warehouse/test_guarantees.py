"""Trust masks: the SQL against their definition, and the promise against simulated studies."""

import duckdb
import numpy as np
import polars as pl
import pytest

from tests.guarantees import (
    ALPHAS,
    LEVELS,
    LOSSES,
    SCORES,
    choose_limit,
    draw_levels,
    list_limits,
    measure_risks,
)
from tests.macros import PROJECT, make_environment
from tests.skewed import find_ends
from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.blockmap import ColourScale
from upscale_audit.analysis.figures.guarantee import draw_guarantee
from upscale_audit.analysis.figures.trustmap import (
    SCORES as MAPPED,
)
from upscale_audit.analysis.figures.trustmap import (
    Promise,
    draw_trust_map,
    paint_trust,
    write_trust_map,
)
from upscale_audit.analysis.marts import Marts
from upscale_audit.ingest.errors import StudyError

FILES = (
    "constants", "guarantees", "fixed", "vocabulary", "cluster_unit", "skewed_means", "fidelity",
    "special_functions",
)  # fmt: skip
MODELS = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "int_trust_limits": "intermediate/guarantees/int_trust_limits.sql",
    "mart_guarantee": "marts/guarantees/mart_guarantee.sql",
}
FROZEN = (
    "model_id varchar, inference_path varchar, score varchar, loss varchar, alpha_ratio double,"
    " loss_limit_dn2 decimal(11, 6), limit_score decimal(11, 6), cluster_count bigint,"
    " bound_ratio double, study_name varchar"
)
STUDIES = 2000


@pytest.fixture(scope="module")
def environment():
    """Give the macros that the models of trust masks call."""
    known = {"min_clusters": 5, "error_limit_dn2": 25}
    return make_environment(*FILES, var=known.get)


@pytest.fixture(scope="module")
def judge(environment):
    """Give a function from counts by level to the rows of the mart."""

    def run(counts, frozen=()):
        with duckdb.connect() as connection:
            connection.register("counts", counts)
            connection.execute(
                "create table int_image_trust_levels as select model_id, image_id,"
                " 'notta' as inference_path, score, trust_level, block_count,"
                " bad as erroneous_count, 0 as invented_count, 0 as lost_count from counts"
            )
            connection.execute(
                "create table int_clusters as select distinct image_id,"
                " split_part(image_id, '_', 1) as cluster_id, 'patient' as cluster_unit from counts"
            )
            connection.execute(f"create table stg_raw__frozen_guarantees ({FROZEN})")
            for row in frozen:
                connection.execute(
                    "insert into stg_raw__frozen_guarantees by name"
                    f" select {', '.join(f'${name} as {name}' for name in row)}",
                    row,
                )
            for name, path in MODELS.items():
                text = (PROJECT / "models" / path).read_text(encoding="utf-8")
                sql = environment.from_string(text).render()
                connection.execute(f"create table {name} as {sql}")
            return connection.sql(
                "select mart_guarantee.*, limit_level from mart_guarantee"
                " inner join int_trust_limits"
                " using (model_id, inference_path, score, loss, alpha_ratio)"
                " where loss = 'erroneous' order by model_id, score, alpha_ratio"
            ).pl()

    return run


def count_blocks(patients, model="m", score="lr_rms_dn"):
    """Counts by level of one study; of each patient (level, blocks, bad ones)."""
    rows = [
        {
            "model_id": model,
            "image_id": f"{number:04d}_0",
            "score": score,
            "trust_level": level,
            "block_count": blocks,
            "bad": bad,
        }
        for number, levels in enumerate(patients)
        for level, blocks, bad in levels
    ]
    return pl.DataFrame(rows)


def pick(rows, alpha, **keys):
    (row,) = rows.filter(
        pl.col("alpha_ratio") == alpha, *(pl.col(name) == value for name, value in keys.items())
    ).to_dicts()
    return row


@pytest.mark.parametrize("unit", ["dn", "dn2"])
def test_what_is_at_a_limit_is_of_its_level_and_the_next_number_above(environment, unit):
    call, limits = environment.globals, list_limits(unit)
    level = call["trust_level"]("s.score", unit)
    with duckdb.connect() as connection:
        found = connection.execute(
            f"select {call['trust_limit']('k', chr(39) + unit + chr(39))}"
            f" from range(0, {LEVELS + 1}) as grid (k) order by k"
        ).fetchall()
        rows = [value for limit in limits for value in (limit, limit + 1e-6)]
        connection.execute("create table scores (n integer, score decimal(11, 6))")
        connection.executemany("insert into scores values (?, ?)", list(enumerate(rows)))
        levels = connection.execute(f"select {level} from scores as s order by n").fetchall()
        (edge,) = connection.execute(
            f"select list({level} order by n) from (values (1, 0.0), (2, null), (3, 0.000001))"
            " as s (n, score)"
        ).fetchone()
    assert [None if value is None else float(value) for (value,) in found] == [None, *limits]
    expected = [value for k in range(1, LEVELS + 1) for value in (k, min(k + 1, LEVELS))]
    assert [value for (value,) in levels] == expected
    assert edge == [1, LEVELS + 1, 1]
    # Beyond every score: a block's mean and root mean square differ by 255, squares by 255^2.
    assert limits[-1] > (255 if unit == "dn" else 255**2)


def test_the_definition_by_hand_with_a_bound_that_is_just_met(judge):
    # Of nine patients, (sum + 1) / 10 <= 0.2 while the losses add up to 1: two halves at level 30.
    patients = [[(20, 6, 0), (30, 2, 1), (50, 2, 1)]] * 2 + [[(20, 10, 0), (40, 2, 2)]] * 7
    rows = judge(count_blocks(patients))
    row = pick(rows, 0.2)
    assert row["bound_ratio"] == 0.2
    # The largest limit that keeps it lies just below the next level that fails.
    assert (row["limit_level"], float(row["limit_score"])) == (39, 3.363585)
    assert row["risk_ratio"] == pytest.approx(1 / 9, abs=1e-12)
    assert row["masked_ratio"] == pytest.approx((2 * 2 / 10 + 7 * 2 / 12) / 9, abs=1e-12)
    assert row["good_masked_ratio"] == pytest.approx((2 * 1 / 8 + 0) / 9, abs=1e-12)
    assert (row["cluster_count"], row["bad_block_count"], row["reason"]) == (9, 18, None)
    tenth = pick(rows, 0.1)
    # At 0.1 not one may be missed.
    assert (tenth["limit_level"], tenth["bound_ratio"], tenth["risk_ratio"]) == (29, 0.1, 0.0)
    one_more = [[(20, 6, 0), (30, 3, 2), (50, 1, 1)], *patients[1:]]
    assert pick(judge(count_blocks(one_more)), 0.2)["limit_level"] == 29


def test_thirds_that_add_up_to_one_meet_the_bound(judge):
    patients = [[(30, 1, 1), (50, 2, 2)]] * 3 + [[(40, 2, 2)]] * 6
    row = pick(judge(count_blocks(patients)), 0.2)
    assert (row["limit_level"], row["bound_ratio"]) == (39, 0.2)


def test_what_no_number_of_patients_can_promise_is_said(judge):
    enough = [[(20, 10, 0), (40, 2, 2)]] * 9
    rows = judge(count_blocks(enough))
    row = pick(rows, 0.05)
    assert row["reason"] == "alpha is below 1 / (n + 1) = 0.1000, n = 9"
    assert not row["is_attainable"]
    assert {row[name] for name in ("limit_score", "bound_ratio", "risk_ratio", "masked_ratio")} == {
        None
    }
    # 1 / (n + 1) itself can be had.
    assert pick(rows, 0.1)["is_attainable"]
    few = pick(judge(count_blocks(enough[:4])), 0.2)
    assert (few["is_attainable"], few["reason"]) == (False, "an own limit takes 5 patients, n = 4")
    blind = [[(LEVELS + 1, 12, 2)]] * 9
    none = pick(judge(count_blocks(blind)), 0.2)
    assert (none["scored_ratio"], none["reason"]) == (0.0, "no block has the score")


def test_a_perfect_model_and_one_that_hides_everything_say_so(judge):
    perfect = pick(judge(count_blocks([[(20, 10, 0), (64, 2, 0)]] * 9)), 0.1)
    assert perfect["reason"] == "no block is bad: nothing could be missed"
    assert (perfect["limit_level"], perfect["masked_ratio"], perfect["risk_ratio"]) == (64, 0, 0)
    hiding = pick(judge(count_blocks([[(1, 10, 2), (64, 2, 0)]] * 9)), 0.2)
    assert hiding["reason"] == "every block is masked: no limit of the grid keeps the bound"
    assert (hiding["limit_score"], hiding["masked_ratio"], hiding["is_attainable"]) == (
        None,
        1,
        True,
    )
    assert hiding["bound_ratio"] == 0.1


def test_a_block_without_a_score_is_masked_by_every_limit(judge):
    row = pick(judge(count_blocks([[(20, 9, 0), (LEVELS + 1, 3, 3)]] * 9)), 0.1)
    assert (row["limit_level"], row["masked_ratio"], row["risk_ratio"]) == (64, 0.25, 0.0)
    assert row["scored_ratio"] == 0.75


def test_images_of_a_patient_are_counted_together(judge):
    counts = count_blocks([[(20, 6, 0), (30, 2, 1), (50, 2, 1)]] * 20)
    halved = pl.concat(
        [
            counts.filter(pl.col("trust_level") != 50),
            counts.filter(pl.col("trust_level") == 50).with_columns(
                pl.col("image_id").str.replace("_0", "_1")
            ),
        ]
    )
    assert judge(halved).equals(judge(counts))


def test_another_model_moves_no_row(judge):
    generator = np.random.default_rng(5)
    one, two = (
        count_blocks(
            [
                [(level, 4, int(generator.integers(0, 3))) for level in range(10, 60, 7)]
                for _ in range(count)
            ],
            model=model,
        )
        for model, count in (("one", 20), ("two", 30))
    )
    assert judge(pl.concat([one, two])).filter(pl.col("model_id") == "one").equals(judge(one))


def test_intervals_are_of_t_corrected_for_skewness_from_fifteen_patients_on(judge):
    generator = np.random.default_rng(7)
    patients = [
        [(20, 10, 1), (30, 5, 0), (45, 9 + int(generator.exponential(9)), 9)] for _ in range(16)
    ]
    rows = judge(count_blocks(patients))
    row = pick(rows, 0.2)
    assert row["limit_level"] == 44
    masked = np.array([high / (15 + high) for _, _, (_, high, _) in patients])
    assert row["masked_ratio"] == pytest.approx(masked.mean(), abs=1e-11)
    ends = [row["masked_low_ratio"], row["masked_high_ratio"]]
    assert ends == pytest.approx(find_ends(masked), rel=1e-8)
    # Every patient's loss is the same: it has no spread, and no interval.
    assert (row["risk_low_ratio"], row["risk_high_ratio"]) == (None, None)
    assert pick(judge(count_blocks(patients[:14])), 0.2)["masked_low_ratio"] is None


def freeze(**changes):
    """A row of a frozen file."""
    return {
        "model_id": "m",
        "inference_path": "notta",
        "score": "lr_rms_dn",
        "loss": "erroneous",
        "alpha_ratio": 0.05,
        "loss_limit_dn2": 25,
        "limit_score": 1.0,
        "cluster_count": 120,
        "bound_ratio": 0.049,
        "study_name": "elsewhere",
    } | changes


def test_a_frozen_limit_stands_and_is_held_against_these_patients(judge):
    counts = count_blocks([[(20, 6, 0), (32, 2, 1), (33, 2, 1)]] * 3 + [[(40, 4, 4)]])
    rows = judge(counts, [freeze()])
    row = pick(rows, 0.05)
    # 1 dn is limit 32, which four patients could not have chosen.
    assert (row["limit_level"], float(row["limit_score"])) == (32, 1.0)
    assert (row["limit_source"], row["limit_cluster_count"]) == ("elsewhere", 120)
    assert (row["cluster_count"], row["bound_ratio"]) == (4, 0.049)
    assert row["risk_ratio"] == pytest.approx(3 * 0.5 / 4)
    assert (row["is_attainable"], row["reason"]) == (True, None)
    # Another alpha, and another limit of what is bad, are not what was frozen.
    assert pick(rows, 0.1)["limit_source"] is None
    assert not pick(judge(counts, [freeze(loss_limit_dn2=100)]), 0.05)["is_attainable"]
    # A limit between two of the grid is the lower one; none at all masks everything.
    assert pick(judge(counts, [freeze(limit_score=1.1)]), 0.05)["limit_level"] == 32
    nothing = pick(judge(counts, [freeze(limit_score=None)]), 0.05)
    assert (nothing["limit_level"], nothing["masked_ratio"]) == (0, 1.0)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["normal", "skewed"])
@pytest.mark.parametrize("patients", [20, 50])
def test_of_a_new_patient_no_more_is_missed_than_promised(judge, kind, patients):
    generator = np.random.default_rng([3, patients, kind == "skewed"])
    levels = draw_levels(generator, STUDIES, patients, kind)
    study, patient, _ = np.nonzero(levels)
    counts = (
        pl.DataFrame({"study": study, "patient": patient, "trust_level": levels[levels > 0]})
        .group_by("study", "patient", "trust_level")
        .agg(pl.len().alias("bad"))
    )
    # A patient without a bad block is one of n all the same: each has a good block.
    everyone = pl.DataFrame(
        {
            "study": np.repeat(np.arange(STUDIES), patients),
            "patient": np.tile(np.arange(patients), STUDIES),
        }
    ).with_columns(trust_level=pl.lit(1, pl.Int64), bad=pl.lit(0, pl.UInt32))
    counts = pl.concat([counts, everyone.select(counts.columns)])
    counts = counts.select(
        model_id=pl.format("s{}", pl.col("study")),
        image_id=pl.format("{}_0", pl.col("patient")),
        score=pl.lit("lr_rms_dn"),
        trust_level="trust_level",
        block_count=pl.max_horizontal("bad", pl.lit(1)).cast(pl.Int64),
        bad=pl.col("bad").cast(pl.Int64),
    )
    rows = judge(counts)
    # What a limit misses in the patients of whom the studies are drawn.
    risks = measure_risks(draw_levels(np.random.default_rng(99), 1, 200_000, kind))
    for alpha in ALPHAS:
        own = rows.filter(pl.col("alpha_ratio") == alpha)
        if alpha < 1 / (patients + 1):
            assert own["limit_score"].null_count() == STUDIES
            continue
        assert own.height == STUDIES
        assert own["bound_ratio"].max() <= alpha
        missed = risks[own["limit_level"].to_numpy()]
        error = missed.std() / np.sqrt(STUDIES) + 1 / np.sqrt(200_000)
        assert missed.mean() <= alpha + 3 * error, (alpha, missed.mean())
        # And no promise is kept by masking for nothing: their theorem 2, and a step of the grid.
        assert missed.mean() >= alpha - 2 / (patients + 1) - 0.03, (alpha, missed.mean())


def test_every_limit_of_the_sample_is_that_of_the_definition(query, blocks):
    mart = {
        (row["model_id"], row["inference_path"], row["score"], row["loss"], row["alpha_ratio"]): row
        for row in query("select * from mart_guarantee").iter_rows(named=True)
    }
    assert len(mart) == 9 * len(SCORES) * len(LOSSES) * len(ALPHAS)
    for model_id, inference_path in {key[:2] for key in mart}:
        own = blocks.filter(pl.col("model_id") == model_id)
        sd = {path: own[f"variance_dn2_{path}"].sqrt() for path in ("notta", "tta")}
        gap = (own["mean_dn_tta"] - own["mean_dn_notta"]) ** 2 + (sd["tta"] - sd["notta"]) ** 2
        values = {
            "lr_rms_dn": own[f"lr_rms_dn_{inference_path}"],
            "tta_gap_dn2": gap.round(6),
            "detail_dn2": own[f"variance_dn2_{inference_path}"],
        }
        images = own["image_id"].to_numpy()
        for score, unit in SCORES.items():
            given = values[score].cast(pl.Float64).fill_null(np.nan).to_numpy()
            for loss, (column, limit) in LOSSES.items():
                bad = (own[f"{column}_{inference_path}"] > limit).to_numpy()
                groups = [images == image for image in np.unique(images)]
                kept = [(given[group][bad[group]], bad[group][bad[group]]) for group in groups]
                row = mart[model_id, inference_path, score, loss, 0.2]
                if np.isnan(given).all():
                    assert row["reason"] == "no block has the score"
                    continue
                expected = choose_limit(kept, list_limits(unit), 0.2)
                found = -1.0 if row["limit_score"] is None else float(row["limit_score"])
                assert found == expected[0], (model_id, inference_path, score, loss)
                assert row["bound_ratio"] == pytest.approx(expected[1], abs=1e-9)
                assert row["risk_ratio"] == pytest.approx(expected[2], abs=1e-11)
                masked = [(~(given[group] <= found)).mean() for group in groups]
                assert row["masked_ratio"] == pytest.approx(np.mean(masked), abs=1e-9)
                good = [(~(given[group] <= found))[~bad[group]].mean() for group in groups]
                assert row["good_masked_ratio"] == pytest.approx(np.mean(good), abs=1e-9)
                for alpha in (0.01, 0.05, 0.1):
                    assert not mart[model_id, inference_path, score, loss, alpha]["is_attainable"]


def test_of_the_image_left_out_no_more_is_missed_in_the_sample_than_promised(query, judge):
    # Whichever of the six is the new one is drawn by lot, so their mean holds without chance.
    losses = ", ".join(f"{name}_count" for name in LOSSES)
    counts = query(
        "unpivot (select concat_ws(' ', model_id, inference_path, score) as mask, image_id,"
        f" trust_level, block_count, {losses} from intermediate.int_image_trust_levels)"
        f" on {losses} into name loss value bad"
    ).with_columns(image_id=pl.col("image_id").str.replace("_", ""), bad=pl.col("bad").cast(int))
    images = sorted(set(counts["image_id"]))
    # A mask's limit on five is that of a study of its own.
    studies = pl.concat(
        counts.filter(pl.col("image_id") != image).select(
            pl.format("{} {} {}", "mask", "loss", pl.lit(image)).alias("model_id"),
            "image_id",
            pl.lit("lr_rms_dn").alias("score"),
            "trust_level",
            "block_count",
            "bad",
        )
        for image in images
    )
    rows = judge(studies).filter(pl.col("alpha_ratio") == 0.2)
    levels = dict(rows.select("model_id", "limit_level").iter_rows())
    assert len(levels) == 9 * len(SCORES) * len(LOSSES) * 6
    missed = {}
    for (mask, loss, image), own in counts.group_by("mask", "loss", "image_id"):
        level = levels[f"{mask} {loss} {image}"]
        if level is not None:
            bad = own["bad"].sum()
            trusted = own.filter(pl.col("trust_level") <= level)["bad"].sum()
            missed.setdefault((mask, loss), []).append(trusted / bad if bad else 0.0)
    assert len(missed) > 60
    assert all(len(values) == 6 for values in missed.values())
    assert max(np.mean(values) for values in missed.values()) <= 0.2


def test_the_terms_are_those_of_the_mart(query, environment):
    terms = {row["term"]: row for row in query("select * from dim_trust_terms").to_dicts()}
    scores = {name: row for name, row in terms.items() if row["kind"] == "score"}
    assert {name: row["unit"] for name, row in scores.items()} == SCORES
    assert set(terms) - set(scores) == set(LOSSES)
    assert list(ALPHAS) == environment.globals["trust_alphas"]()


@pytest.mark.parametrize("path", ["notta", "tta"])
def test_the_map_s_scores_are_the_sql_s(environment, path):
    found = environment.globals["trust_scores"](path)
    stated = {name: score["sql"] for name, score in found.items()}
    assert {name: sql.format(path=path) for name, sql in MAPPED.items()} == stated


@pytest.fixture(scope="module")
def marts(sample_study):
    with Marts(sample_study.warehouse) as opened:
        yield opened


def list_panels(chart):
    return {
        panel["title"]["text"]: panel["title"]["subtitle"] for panel in chart.to_dict()["concat"]
    }


def test_a_map_masks_what_the_mart_does_and_says_what_is_promised(marts, sample_study, blocks):
    image, promise = "rg1_r0c1", Promise(0.2, "detail_dn2", "invented")
    chart = draw_trust_map(marts, sample_study.references, image, promise, "tta", marts.models)
    panels = list_panels(chart)
    # Bicubic has no image with TTA.
    assert len(panels) == 5
    for model_id, summary in list(panels.items())[1:]:
        (row,) = marts.rows(
            f"select * from mart_guarantee where model_id = '{model_id}' and alpha_ratio = 0.2"
            " and inference_path = 'tta' and score = 'detail_dn2' and loss = 'invented'"
        )
        own = blocks.filter((pl.col("model_id") == model_id) & (pl.col("image_id") == image))
        share = (own["variance_dn2_tta"] > float(row["limit_score"])).mean()
        assert summary.endswith(f"masked here {share:.0%}".replace("%", "\u00a0%")), model_id
    caption = " ".join(chart.title.subtitle).replace("\u00a0", " ")
    for words in (
        "of the truly bad blocks of a new image the mask misses at most 20 % on average",
        "no promise for this image",
        "Truly bad (invented, limit 9 dn²): Invented energy",
        "n = 6 images of this study",
    ):
        assert words in caption


def test_the_default_score_is_by_what_the_study_has(marts, sample_study):
    chart = draw_trust_map(
        marts, sample_study.references, "rg1_r0c1", Promise(0.2), "notta", marts.models
    )
    caption = " ".join(chart.title.subtitle)
    assert "Truly bad (erroneous, limit 25 dn²)" in caption
    assert "one without a bad block counting as 0" in caption
    assert "span_x2_ch48: no block is bad" in caption
    assert "LR residual (dn)" in str(chart.to_dict())


@pytest.mark.parametrize(
    ("promise", "path", "models", "said"),
    [
        (Promise(0.1), "notta", None, r"n = 6; the smallest alpha that can be had is 0\.2$"),
        (Promise(0.3), "notta", None, r"no alpha_ratio 0\.3 .* one of 0\.01, 0\.05, 0\.1, 0\.2$"),
        (Promise(0.2, "ssim"), "notta", None, "no score 'ssim' .* detail_dn2, lr_rms_dn, tta_gap"),
        (Promise(0.2, loss="bad"), "notta", None, "no loss 'bad' .* erroneous, invented, lost$"),
        (
            Promise(0.2, "tta_gap_dn2"),
            "notta",
            ["bicubic"],
            "no block has the score; no alpha can be had: mart_guarantee says why",
        ),
        (Promise(0.2), "tta", ["bicubic"], r"no row of bicubic \(tta\); mart_coverage"),
    ],
)
def test_what_cannot_be_promised_is_one_line(marts, sample_study, promise, path, models, said):
    with pytest.raises(StudyError, match=said) as error:
        draw_trust_map(
            marts, sample_study.references, "rg1_r0c1", promise, path, models or marts.models
        )
    assert "\n" not in str(error.value)


def test_a_model_without_a_promise_is_left_out_by_name(marts, sample_study):
    promise = Promise(0.2, "tta_gap_dn2", "lost")
    chart = draw_trust_map(
        marts, sample_study.references, "rg1_r0c1", promise, "notta", marts.models
    )
    caption = " ".join(chart.title.subtitle)
    assert "Not drawn: bicubic (no block has the score)." in caption
    assert "bicubic" not in list_panels(chart)


def test_masked_blocks_are_hatched_and_trusted_ones_have_their_colour():
    blocks = pl.DataFrame(
        {"block_row": [0, 0, 1], "block_col": [0, 1, 0], "score": [1.0, 3.0, None]}
    )
    scale = ColourScale("x", 0.0, 2.0)
    picture = paint_trust(blocks, np.array([True, False, False]), (2, 2), scale)
    side = picture.shape[0] // 2
    trusted, other = picture[:side, :side], picture[:side, side:]
    assert (trusted == scale.paint(np.array([1.0]))[0]).all()
    for masked in (other, picture[side:, :side], picture[side:, side:]):
        # Grey stripes of two tones, whatever the score.
        assert (masked == masked[..., :1]).all()
        assert set(np.unique(masked)) == {120, 235}


def test_a_map_goes_to_a_folder_of_its_promise(sample_study, tmp_path):
    paths, sources = write_trust_map(
        sample_study, "rg1_r0c1", Promise(0.2), tmp_path, model_id="bicubic"
    )
    folder = tmp_path / "notta_trust_0.2_lr_rms_dn_erroneous" / "bicubic" / "rg1_r0c1"
    assert {path.parent for path in paths} == {folder}
    assert all(path.is_file() for path in paths)
    assert list(sources) == ["reference/rg1_r0c1.png"]


def test_the_figure_shows_every_mask_that_can_be_had(marts):
    chart = draw_guarantee(marts).to_dict()
    data = [
        point
        for row in chart["vconcat"]
        for panel in row["hconcat"]
        for point in chart["datasets"][panel["data"]["name"]]
    ]
    rows = marts.rows(
        "select * from mart_guarantee where inference_path = 'notta' and is_attainable"
    )
    assert len(data) == len(rows) == 42
    assert sorted(point["masked"] for point in data) == pytest.approx(
        sorted(100 * row["masked_ratio"] for row in rows)
    )
    assert {point["alpha"] for point in data} == {"0.2"}
    assert "Not attainable, so not drawn: 138 of 180 masks" in " ".join(chart["title"]["subtitle"])
    spoken = draw_guarantee(marts, "ja")
    assert theme.find_message(spoken) is None
    assert "信頼の代償" in str(spoken.to_dict()["title"]["text"])


def test_the_cookbook_query_shows_what_trust_costs(query, repository):
    text = (repository / "analysis" / "cookbook" / "what_does_trust_cost.sql").read_text()
    rows = query(text)
    assert rows.height == 9 * len(SCORES) * len(LOSSES) * len(ALPHAS)
    had = rows.filter(pl.col("limit_source").is_not_null())
    assert (had["missed_pct"] <= 100 * had["alpha_ratio"]).all()
    assert rows.filter(pl.col("limit_source").is_null())["reason"].null_count() == 0
