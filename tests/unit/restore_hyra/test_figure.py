"""The figure of a network, from marts as their contracts describe them."""

import json

import duckdb
import numpy as np
import pytest
import yaml
from PIL import Image

from tests.unit.restore_hyra.studies import declare
from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.hyra import draw_hyra, list_hyra_models
from upscale_audit.analysis.marts import Marts
from upscale_audit.analysis.output import write_chart
from upscale_audit.ingest.restorers import Interpolation
from upscale_audit.restore.hyra.study import analyse_study


@pytest.fixture(scope="module")
def warehouse(repository, new_study_folder, tmp_path_factory):
    """Write marts of a bicubic network, one measured image, and of no other model."""
    root = tmp_path_factory.mktemp("hyra")
    folder = new_study_folder(root / "study")
    folder.add_model("bicubic", paths=("notta",))
    folder.add_image("one", shape=(96, 96))
    study = declare(folder.load(), bicubic=Interpolation("bicubic"))
    analyse_study(study, workers=1)
    contracts = repository / "dbt_project" / "models" / "marts" / "restorers"
    path = root / "warehouse.duckdb"
    raw = {"mart_hyra": "hyra_images"}
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table dim_models as select 'bicubic' as model_id, 1 as model_number,"
            " 'bicubic' as label, '#000000' as colour"
        )
        text = (contracts / "_restorers__models.yml").read_text(encoding="utf-8")
        for contract in yaml.safe_load(text)["models"]:
            name = contract["name"]
            columns = [f"{item['name']} {item['data_type']}" for item in contract["columns"]]
            connection.execute(f"create table {name} ({', '.join(columns)})")
            file = study.hyra / f"{raw.get(name, name.removeprefix('mart_'))}.parquet"
            connection.execute(
                f"insert into {name} by name select * from read_parquet('{file.as_posix()}')"
            )
    return path


def test_the_figure_shows_every_height_and_the_spectra(warehouse, tmp_path):
    with Marts(warehouse) as marts:
        assert list_hyra_models(marts) == ["bicubic"]
        chart = theme.finish(draw_hyra(marts, "bicubic"))
    text = json.dumps(chart.to_dict(), ensure_ascii=False)
    for height in (1, 16, 64):
        assert f"Response to ±{height} dn" in text
    assert "sinc with a zero every 2 px" in text
    assert "mean of 1 image" in " ".join(chart.to_dict()["title"]["subtitle"])
    assert "G = N \u2212 H" in text
    png = write_chart(chart, tmp_path, "hyra")[0]
    with Image.open(png) as image:
        assert image.width <= round((theme.DOUBLE_COLUMN_PT + 8) * 300 / 72) + 1
        assert np.asarray(image.convert("L")).std() > 5


def test_the_cookbook_has_a_row_for_the_network(warehouse, repository):
    file = repository / "analysis" / "cookbook" / "what_networks_add_above_nyquist.sql"
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        ((model_id, image_count, gain, correlation, explained, spread),) = connection.sql(
            file.read_text(encoding="utf-8")
        ).fetchall()
    assert (model_id, image_count) == ("bicubic", 1)
    assert 0 < gain < 1
    assert -1 <= correlation <= 1
    assert explained == pytest.approx(1, abs=1e-6)
    assert spread < 1e-3


def test_a_model_whose_images_were_all_skipped_has_no_spectra(warehouse, tmp_path):
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(warehouse.read_bytes())
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from mart_hyra_spectra")
        connection.execute("update mart_hyra set hyra_lin_energy = null")
    with Marts(path) as marts:
        text = json.dumps(draw_hyra(marts, "bicubic").to_dict())
    assert "Response to" in text
    assert "Spectra" not in text
    assert "Power by frequency" not in text
