"""Other means give the warehouse's answer, so that their times may stand beside its own."""

import json

import pytest

from tests.bench.contenders import CONTENDERS, _check, main, write_csv
from tests.bench.resample import resample_study
from tests.bench.scenes import make_study
from upscale_audit.ingest.run import ingest_study

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """Give a function that lets a contender work on one resampled image of four models."""
    folder = tmp_path_factory.mktemp("contenders")
    source = make_study(folder / "source")
    ingest_study(source, workers=1)
    study = resample_study(source, folder / "one", 1, workers=1)
    (study.output / "contenders").mkdir(parents=True)
    write_csv(study, study.output / "contenders" / "blocks.csv")

    def work(name):
        path = folder / f"{name}.json"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["contenders", name, str(study.path), str(path)])
            main()
        return json.loads(path.read_text())

    return work


@pytest.fixture(scope="module")
def expected(answer):
    return answer("warehouse")


@pytest.mark.parametrize("name", ["duckdb", "polars", "polars_streaming", "csv"])
def test_a_contender_gives_the_answer_of_the_warehouse(answer, expected, name):
    assert name in CONTENDERS
    assert len(expected) == 8
    _check(name, answer(name), expected)


def test_another_answer_is_no_contender(expected):
    other = {name: [count + 1000, *means] for name, (count, *means) in expected.items()}
    with pytest.raises(RuntimeError, match="csv of"):
        _check("csv", other, expected)
