"""Composites: what of a study file's SQL passes, and what it is made into."""

from dataclasses import replace

import duckdb
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.composites import check_composites, create_composites, list_numbers


@pytest.fixture
def compute(tiny_study, tmp_path):
    """Give a function from an expression to its value, and what its names are worth."""

    def run(expression, path="notta", **facts):
        study = replace(tiny_study.load(), composites=(("score", expression),))
        database = tmp_path / f"{len(list(tmp_path.iterdir()))}.duckdb"
        with duckdb.connect(str(database)) as connection:
            connection.execute("create schema raw")
        create_composites(database, study, check_composites(study))
        columns = {sql.format(path=path) for sql in list_numbers().values()}
        values = {name: facts.get(name.removesuffix(f"_{path}"), "null") for name in columns}
        spelled = ", ".join(f"cast({value} as float) as {name}" for name, value in values.items())
        with duckdb.connect(str(database)) as connection:
            ((scores,),) = connection.sql(
                f"select raw.composites_{path}(blocks) from (select {spelled}) as blocks"
            ).fetchall()
        return scores[0]

    return run


@pytest.mark.parametrize(
    ("expression", "facts", "expected"),
    [
        ("mse_dn2 / (1 + variance_dn2_reference)", {"mse_dn2": 6, "variance_dn2_reference": 2}, 2),
        ("-2.5e1 * D_MU - -- 1", {"d_mu": 2}, -51),
        ("abs(d_mu) + greatest(1, axis1, 2)", {"d_mu": -3, "axis1": 1.5}, 5),
        ("case when d_mu >= 1 and not axis1 is null then 1 else 0 end", {"d_mu": 1}, 0),
        ("case when d_mu between 1 and 2 or d_mu <> 5 then coalesce(axis1, 7) end", {"d_mu": 1}, 7),
        ("1 / d_mu", {"d_mu": 0}, None),
        ("sqrt(d_mu)", {"d_mu": -1}, None),
        ("ln(d_mu)", {"d_mu": 0}, None),
        ("mse_dn2", {}, None),
    ],
)
def test_an_expression_has_its_value_or_none(compute, expression, facts, expected):
    assert compute(expression, **facts) == expected


def test_a_name_is_of_the_inference_path_that_is_judged(compute):
    assert compute("mse_dn2", "tta", mse_dn2=4) == 4


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("mse_dn2; drop table fct_blocks", "';"),
        ("(select 1)", "'select' is no number"),
        ("mse_dn2 from fct_blocks", "'from' is no number"),
        ("read_text('/etc/passwd')", "'read_text' is no number"),
        ("getenv(mse_dn2)", "'getenv' is no number"),
        ("{{ var('x') }}", "begins with what is no number"),
        ("mse_dn2 || axis1", r"'\|\| axis1' begins"),
        ('"mse_dn2"', "begins with what is no number"),
        ("1 /* */ + 1", "syntax error"),
        ("mse_dn2, axis1", "is not one expression"),
        ("mse_dn2) + (axis1", "syntax error"),
        ("mse_dn", "nearest: mse_dn2"),
        ("mse_dn2 >", "syntax error"),
        ("mse_dn2 > 1", "is a boolean; expected a number"),
        ("sqrt(1, 2)", "composite_sqrt"),
        ("1x", "begins with what is no number"),
        ("", "syntax error|expected"),
        ("(" * 60 + "1" + ")" * 60, "50 deep"),
        ("1" + " + 1" * 300, "500 words"),
        ("case when 1 then 2", "syntax error"),
        ("\uff4dse_dn2", "begins with what is no number"),
    ],
)
def test_anything_else_is_refused_before_a_build_begins(tiny_study, expression, reason):
    study = replace(tiny_study.load(), composites=(("score", expression),))
    with pytest.raises(StudyError, match=reason) as error:
        check_composites(study)
    assert "[detectors.score]" in str(error.value)


def test_a_composite_is_not_called_as_a_number_of_a_block(tiny_study):
    for name in ("mse_dn2", "is_silent", "d_variance_dn2"):
        study = replace(tiny_study.load(), composites=((name, "axis1"),))
        with pytest.raises(StudyError, match=f"detectors.{name}.*choose one"):
            check_composites(study)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[detectors.Score]\nexpression = '1'", "'Score' names a composite; expected lower-case"),
        ("[detectors.score]\nsql = '1'", "sql"),
        ("[detectors.score]\nexpression = 1", "expression"),
        ("[detectors]\nscore = '1'", "expected a table with expression"),
        ("".join(f"[detectors.s{n}]\nexpression = '1'\n" for n in range(21)), "20 at most"),
    ],
)
def test_the_study_file_names_each_with_its_expression(tiny_study, text, reason):
    path = tiny_study.load().path
    path.write_text(path.read_text() + "\n" + text)
    with pytest.raises(StudyError, match=reason):
        load_study(path)
