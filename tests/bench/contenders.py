"""The same block work by other means: pandas with scikit-learn, polars, Spark, DuckDB over CSV.

The work: five features of every notta block, the pooled first axis of all blocks, every block's
score on it, and the mean sharpness and brightness change of each model's positive and negative
blocks. The means and the counts must agree before a time is given.
"""

import importlib.util
import json
import os
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from tests.bench.processes import measure
from upscale_audit.ingest.cluster import open_cluster
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse, create_raw, read_inputs
from upscale_audit.warehouse.connect import remove_database
from upscale_audit.warehouse.dbt_runner import run_dbt
from upscale_audit.warehouse.proof.provenance import describe_study

C1, C2, ROUNDING = 4096 * 6.5025, 4096 * 58.5225, 4096 / 12
"""SSIM's constants and the variance of rounding, in the unit of the spreads: 64 squared."""

FEATURES = ("luminance", "contrast", "gain_2", "gain_4", "gain_8")
COLUMNS = [
    *(f"{image}_{name}" for image in ("reference", "notta") for name in ("sum", "sum_sq")),
    *(
        f"{image}_{name}"
        for image in ("reference", "notta")
        for name in ("laplacian", "detail2", "detail4")
    ),
]
CONTENDERS = {
    "warehouse": "`upscale-audit`: dbt to `mart_direction_components`, every block of both paths"
    " written, 1,000 bootstrap replicates",
    "duckdb": "DuckDB, one query's SQL over the raw Parquet",
    "polars": "polars over the raw Parquet",
    "polars_streaming": "polars, its streaming engine, over the raw Parquet twice",
    "pandas": "pandas and scikit-learn over the raw Parquet",
    "csv": "DuckDB, the same query over CSV",
    "spark": "Spark on all cores of this machine, the same query over the raw Parquet",
    "build": "`upscale-audit build`: every table, test and contract, published",
    "build_cluster": "`upscale-audit build --cluster`: the same, tables of blocks by two workers of"
    " this machine",
}
NEEDS = {
    "polars": ("polars",),
    "polars_streaming": ("polars",),
    "pandas": ("pandas", "sklearn"),
    "spark": ("pyspark", "Java"),
    "build_cluster": ("distributed",),
}

# Without the exponent an engine takes such a number for a decimal, in which it reckons far longer.
_C1, _C2, _ROUNDING = (f"{value!r}e0" for value in (C1, C2, ROUNDING))
_FEATURE_SQL = f"""
    with blocks as (
        select model_id,
            reference_sum::double as sr, notta_sum::double as sx,
            64e0 * reference_sum_sq - sr * sr as vr, 64e0 * notta_sum_sq - sx * sx as vx,
            vr - 16 * reference_detail2 - 4 * reference_detail4 as e8r,
            vx - 16 * notta_detail2 - 4 * notta_detail4 as e8x,
            reference_detail2, reference_detail4, notta_detail2, notta_detail4,
            ln((notta_laplacian / 4096 + 1) / (reference_laplacian / 4096 + 1)) as sharp
        from {{source}}
    )
    select model_id, sharp, (sx - sr) / 64 as mu,
        (sx - sr) / sqrt(sr * sr + sx * sx + {_C1}) as luminance,
        (sqrt(vx) - sqrt(vr)) / sqrt(vr + vx + {_C2}) as contrast,
        ln((16 * notta_detail2 + {_ROUNDING}) / (16 * reference_detail2 + {_ROUNDING})) as gain_2,
        ln((4 * notta_detail4 + {_ROUNDING}) / (4 * reference_detail4 + {_ROUNDING})) as gain_4,
        ln((e8x + {_ROUNDING}) / (e8r + {_ROUNDING})) as gain_8
    from blocks
"""


def compare(study):
    """Run every contender on a study's raw blocks, each in a process of its own.

    Parameters
    ----------
    study : ingest.study.Study
        Ingested; blocks of both inference paths, as many under every model.

    Returns
    -------
    list of dict
        ``name``, and its cost or, where a library is not installed, ``absent``.

    Raises
    ------
    RuntimeError
        A contender's counts differ by more than 1 in 10,000, or its means by more than 1e-6.
    """
    rows, expected = [], None
    folder = study.output / "contenders"
    folder.mkdir(exist_ok=True)
    write_csv(study, folder / "blocks.csv")
    for name in CONTENDERS:
        absent = [need for need in NEEDS.get(name, ()) if not _is_there(need)]
        if absent:
            rows.append({"name": name, "absent": absent})
            continue
        answer = folder / f"{name}.json"
        command = [sys.executable, "-m", "tests.bench.contenders", name, str(study.path)]
        cost = measure([*command, str(answer)])
        found = json.loads(answer.read_text())
        expected = expected or found
        _check(name, found, expected)
        rows.append({"name": name} | asdict(cost))
    return rows


def _is_there(need):
    if need == "Java":
        return "JAVA_HOME" in os.environ or shutil.which("java") is not None
    return importlib.util.find_spec(need) is not None


def _check(name, found, expected):
    if found.keys() != expected.keys():
        raise RuntimeError(f"{name} has {sorted(found)}, expected {sorted(expected)}")
    for key, (count, *means) in expected.items():
        other, *others = found[key]
        far = max(abs(a - b) for a, b in zip(means, others, strict=True))
        if abs(count - other) > 1e-4 * count or far > 1e-6:
            raise RuntimeError(f"{name} of {key}: {found[key]}, expected {expected[key]}")


def write_csv(study, path):
    """Write the columns that the work needs as one CSV, as a study without Parquet has them."""
    import duckdb

    columns = ", ".join(["model_id", "image_id", "block_row", "block_col", *COLUMNS])
    with duckdb.connect() as connection:
        connection.execute(f"copy (select {columns} from {_parquet(study)}) to '{path}' (header)")


def _parquet(study):
    return f"read_parquet('{study.raw}/blocks/*/*.parquet', hive_partitioning = true)"


def find_weights(correlation, sd):
    """Weights of the first axis: unit eigenvector, contrast loading positive, over the spreads."""
    loading = np.linalg.eigh(correlation)[1][:, -1]
    return _orient(loading) / sd


def _orient(loading):
    anchor = loading[FEATURES.index("contrast")]
    return loading * np.sign(anchor if abs(anchor) >= 0.2 else loading[np.abs(loading).argmax()])


def run_warehouse(study):
    """Build the tables up to the answer with dbt, as `upscale-audit build` does."""
    database = study.output / "contenders" / "warehouse.duckdb"
    remove_database(database)
    inputs = read_inputs(study)
    create_raw(database, study, inputs, inputs.manifest)
    variables = describe_study(study)
    run_dbt(study, database, ["seed"], variables=variables)
    select = ["run", "--select", "+mart_direction_components"]
    run_dbt(study, database, select, variables=variables)
    return _read_answer(database)


def _read_answer(database):
    import duckdb

    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.sql(
            "select model_id, polarity, any_value(block_count),"
            " max(mean) filter (where component = 'sharp'),"
            " max(mean) filter (where component = 'mu')"
            " from mart_direction_components where polarity != 'zero' group by model_id, polarity"
        ).fetchall()
    return {f"{model_id} {polarity}": list(values) for model_id, polarity, *values in rows}


def run_build(study, executor=None, workers=1):
    """Build and publish the whole warehouse, from nothing."""
    study.warehouse.unlink(missing_ok=True)
    build_warehouse(study, executor=executor, workers=workers)
    return _read_answer(study.warehouse)


def run_build_cluster(study):
    """Do `run_build` with the tables of blocks made by two dask workers."""
    from distributed import LocalCluster

    with (
        LocalCluster(2, threads_per_worker=1, dashboard_address=":0") as cluster,
        open_cluster(cluster.scheduler_address) as (executor, workers),
    ):
        return run_build(study, executor, workers)


def run_duckdb(study, source=None):
    """Two queries: the correlation of the features, then scores and means."""
    import duckdb

    with duckdb.connect() as connection:
        return _query(
            lambda sql: connection.sql(sql).fetchall(),
            _FEATURE_SQL.format(source=source or _parquet(study)),
        )


def run_spark(study):
    """Run the queries of `run_duckdb` on Spark."""
    from pyspark.sql import SparkSession

    features = _FEATURE_SQL.format(source=f"parquet.`{study.raw}/blocks`")
    session = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false")
    running = session.getOrCreate()
    try:
        return _query(lambda sql: running.sql(sql).collect(), features)
    finally:
        gateway = running.sparkContext._gateway
        running.stop()
        # The driver's processor time is counted when it has been waited for.
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()


def _query(fetch, features):
    above = np.triu_indices(len(FEATURES), 1)
    sums = ", ".join(f"corr({FEATURES[a]}, {FEATURES[b]})" for a, b in zip(*above, strict=True))
    spreads = ", ".join(f"stddev_samp({name})" for name in FEATURES)
    row = fetch(f"select {spreads}, {sums} from ({features})")[0]
    correlation = np.eye(len(FEATURES))
    correlation[above] = correlation.T[above] = row[len(FEATURES) :]
    weights = find_weights(correlation, np.array(row[: len(FEATURES)]))
    score = " + ".join(
        f"{w!r} * {name}" for w, name in zip(weights.tolist(), FEATURES, strict=True)
    )
    rows = fetch(
        f"select model_id, if({score} > 0, 'positive', 'negative') as polarity, count(*),"
        f" avg(sharp), avg(mu) from ({features}) group by model_id, polarity"
    )
    return {f"{model_id} {polarity}": list(values) for model_id, polarity, *values in rows}


def run_csv(study):
    """Run `run_duckdb` over a CSV."""
    return run_duckdb(study, f"read_csv('{study.output}/contenders/blocks.csv')")


def run_polars(study):
    """Features once, in memory; then the correlation, scores and means."""
    return _ask_polars(_plan_features(study).collect().lazy(), "in-memory")


def run_polars_streaming(study):
    """Features in both passes, no table of them; as for more rows than memory holds."""
    return _ask_polars(_plan_features(study), "streaming")


def _plan_features(study):
    """Features of every block as a polars query."""
    import polars as pl

    sr, sx = pl.col("reference_sum").cast(pl.Float64), pl.col("notta_sum").cast(pl.Float64)
    blocks = pl.scan_parquet(f"{study.raw}/blocks/*/*.parquet", hive_partitioning=True).select(
        "model_id",
        sr.alias("sr"),
        sx.alias("sx"),
        (64.0 * pl.col("reference_sum_sq") - sr * sr).alias("vr"),
        (64.0 * pl.col("notta_sum_sq") - sx * sx).alias("vx"),
        *(pl.col(f"{image}_detail{side}") for image in ("reference", "notta") for side in (2, 4)),
        ((pl.col("notta_laplacian") / 4096 + 1) / (pl.col("reference_laplacian") / 4096 + 1))
        .log()
        .alias("sharp"),
    )
    vr, vx, sr, sx = (pl.col(name) for name in ("vr", "vx", "sr", "sx"))
    reference, notta = (_list_energies(pl.col, image) for image in ("reference", "notta"))
    before, after = (vr - sum(reference), *reference), (vx - sum(notta), *notta)
    gains = [((y + ROUNDING) / (x + ROUNDING)).log() for x, y in zip(before, after, strict=True)]
    return blocks.select(
        "model_id",
        "sharp",
        mu=(sx - sr) / 64,
        luminance=(sx - sr) / (sr * sr + sx * sx + C1).sqrt(),
        contrast=(vx.sqrt() - vr.sqrt()) / (vr + vx + C2).sqrt(),
        gain_2=gains[1],
        gain_4=gains[2],
        gain_8=gains[0],
    )


def _ask_polars(features, engine):
    """The correlation, then scores and means; one pass over `features` each."""
    import polars as pl

    pairs = [pl.corr(a, b).alias(f"{a} {b}") for a in FEATURES for b in FEATURES]
    found = features.select(*pairs, *(pl.col(name).std() for name in FEATURES))
    row = np.array(found.collect(engine=engine).row(0))
    correlation, sd = np.split(row, [len(FEATURES) ** 2])
    weights = find_weights(correlation.reshape(len(FEATURES), -1), sd).tolist()
    score = pl.sum_horizontal(
        weight * pl.col(name) for weight, name in zip(weights, FEATURES, strict=True)
    )
    polarity = pl.when(score > 0).then(pl.lit("positive")).otherwise(pl.lit("negative"))
    rows = features.group_by("model_id", polarity.alias("polarity")).agg(
        pl.len(), pl.col("sharp").mean(), pl.col("mu").mean()
    )
    answer = rows.collect(engine=engine).rows()
    return {f"{model_id} {polarity}": list(values) for model_id, polarity, *values in answer}


def _list_energies(column, image):
    """Haar energies at 2 and 4 px of the columns that `column` gives by name."""
    return 16.0 * column(f"{image}_detail2"), 4.0 * column(f"{image}_detail4")


def run_pandas(study):
    """Everything in memory; standardised, then scikit-learn's PCA."""
    import pandas as pd
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    frame = pd.read_parquet(study.raw / "blocks", columns=[*COLUMNS, "model_id"])
    sr, sx = frame["reference_sum"].astype(float), frame["notta_sum"].astype(float)
    vr, vx = 64.0 * frame["reference_sum_sq"] - sr * sr, 64.0 * frame["notta_sum_sq"] - sx * sx
    reference, notta = (_list_energies(frame.get, image) for image in ("reference", "notta"))
    before, after = (*reference, vr - sum(reference)), (*notta, vx - sum(notta))
    features = pd.DataFrame(
        {
            "luminance": (sx - sr) / np.sqrt(sr * sr + sx * sx + C1),
            "contrast": (np.sqrt(vx) - np.sqrt(vr)) / np.sqrt(vr + vx + C2),
            **{
                f"gain_{side}": np.log((y + ROUNDING) / (x + ROUNDING))
                for side, x, y in zip((2, 4, 8), before, after, strict=True)
            },
        }
    )
    scaler = StandardScaler()
    axis = PCA(1).fit(scaler.fit_transform(features)).components_[0]
    frame["polarity"] = np.where(
        features.to_numpy() @ (_orient(axis) / scaler.scale_) > 0, "positive", "negative"
    )
    frame["sharp"] = np.log(
        (frame["notta_laplacian"] / 4096 + 1) / (frame["reference_laplacian"] / 4096 + 1)
    )
    frame["mu"] = (sx - sr) / 64
    groups = frame.groupby(["model_id", "polarity"], observed=True)
    rows = groups.agg(count=("mu", "size"), sharp=("sharp", "mean"), mu=("mu", "mean"))
    return {
        f"{model_id} {polarity}": [int(count), sharp, mu]
        for (model_id, polarity), count, sharp, mu in rows.itertuples()
    }


def main():
    """Run one contender: ``python -m tests.bench.contenders NAME STUDY.toml ANSWER.json``."""
    name, study, answer = sys.argv[1:]
    found = globals()[f"run_{name}"](replace(load_study(study), axis="own"))
    Path(answer).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
