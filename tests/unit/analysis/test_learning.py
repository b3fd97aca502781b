"""The figure of epochs: which models it takes, in which order, and that it shows the marts."""

import duckdb
import polars as pl
import pytest

from tests.unit.analysis.test_local_fidelity import read_rows, read_title
from upscale_audit.analysis.figures.learning import PANELS, draw_learning, list_epochs
from upscale_audit.analysis.figures.study import VARYING, plan_figures
from upscale_audit.analysis.marts import Marts

EPOCHS = {"ae_e010": 10, "ae_e002": 2, "ae_e001": 1}


def make_mean(model_id, quantity, mean):
    return {
        "source_id": "images",
        "model_id": model_id,
        "inference_path": "notta",
        "subgroup_kind": "all",
        "subgroup": "all",
        "quantity": quantity,
        "level": "image",
        "unit": "",
        "cluster_unit": "image",
        "cluster_count": 6,
        "image_count": 6,
        "mean": mean,
        "mean_low": mean - 0.5,
        "mean_high": mean + 0.5,
    }


@pytest.fixture
def learned(study):
    """Give a warehouse whose models are epochs, and one that is none."""
    path, references = study(models=(*EPOCHS, "bicubic"))
    quantities = [quantity for quantity, _, _ in PANELS[1:]]
    rows = [
        make_mean(model, quantity, epoch + number)
        for model, epoch in (EPOCHS | {"bicubic": 77}).items()
        for number, quantity in enumerate(quantities)
    ]
    with duckdb.connect(str(path)) as connection:
        frame = pl.DataFrame(rows)
        connection.execute("delete from mart_model_means")
        connection.register("frame", frame)
        connection.execute("insert into mart_model_means by name select * from frame")
    return path, references


def test_epochs_are_in_the_order_of_their_numbers_and_of_one_codec():
    assert list_epochs(["b_e001", "b_e002", *EPOCHS]) == [
        (1, "ae_e001"),
        (2, "ae_e002"),
        (10, "ae_e010"),
    ]
    assert list_epochs(["ae_e001", "bicubic"]) == []
    assert list_epochs(["ae_net", "ae_r25"]) == []


def test_the_figure_shows_each_epochs_mean_and_no_other_model(learned):
    path, references = learned
    assert "learning" in VARYING
    with Marts(path) as marts:
        assert "learning" in plan_figures(marts, references)
        chart = draw_learning(marts)
    rows = read_rows(chart)
    sharp = {row["epoch"]: row["mean"] for row in rows if row["quantity"] == "d_sharp"}
    assert sharp == {1: 1, 2: 2, 10: 10}
    assert {row["model_id"] for row in rows} == set(EPOCHS)
    assert "6 images" in read_title(chart)


def test_a_study_without_epochs_has_no_such_figure(study):
    path, references = study()
    with Marts(path) as marts:
        assert "learning" not in plan_figures(marts, references)
