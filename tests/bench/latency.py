"""How long an analyst waits for a full-size warehouse, from a cold and from a warm cache."""

import os
import statistics
import time

import duckdb

from upscale_audit.analysis.explore.explorer import Explorer
from upscale_audit.analysis.explore.views import find_farthest

RUNS = 5
BY_MODEL = """
    select model_id, count(*), avg(axis1_notta), avg(local_ssim_notta), avg(d_sharp_notta),
        avg(abs(pc1_tta) - abs(pc1_notta))
    from fct_blocks
    group by model_id
"""


def measure_latency(study):
    """Time an analyst's questions, and what the explorer does for a reader.

    Parameters
    ----------
    study : ingest.study.Study
        Built.

    Returns
    -------
    dict of str to dict
        ``cold_s`` (median of runs that each begin with none of the file in the page cache, in a
        fresh connection) and ``warm_s`` (median of the same question asked again) by question.
    """
    warehouse = study.warehouse
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        marts = [
            name
            for (name,) in connection.sql(
                "select table_name from dim_tables where table_name like 'mart_%'"
                " order by table_name"
            ).fetchall()
        ]
        image = connection.sql(
            "select model_id, image_id from dim_models, dim_images"
            " order by sha256(model_id || image_id) limit 1"
        ).fetchall()[0]
    blocks = "select * from fct_blocks where model_id = ? and image_id = ?"
    answers = {name: _ask(warehouse, f'select * from "{name}"') for name in marts}
    slowest = max(answers, key=lambda name: answers[name]["cold_s"])
    return {
        f"the slowest of {len(marts)} marts, whole (`{slowest}`)": answers[slowest],
        "every mart, whole, one after the other": {
            key: sum(answer[key] for answer in answers.values()) for key in ("cold_s", "warm_s")
        },
        "one image's blocks under one model": _ask(warehouse, blocks, image),
        "means over all blocks, by model": _ask(warehouse, BY_MODEL),
        **_explore(study),
    }


def _explore(study):
    """Time the explorer up to what it sends to the browser, on images not looked at before.

    Files of images are not read: their time does not depend on the table's size.
    """
    times = {name: ([], []) for name in ("start", "image", "brush")}
    for run in range(RUNS):
        forget(study.warehouse)
        begin = time.perf_counter()
        with Explorer(study) as explorer:
            _note(times["start"][0], begin)
            models, images = [*explorer.models], [*explorer.images]
            for number, kept in enumerate(times["image"]):
                place = (2 * run + number) * len(images) // (2 * RUNS)
                words = {"model": models[run % len(models)], "image": images[place]}
                begin = time.perf_counter()
                explorer.read_seen(explorer.make_view(words))
                _note(kept, begin)
                begin = time.perf_counter()
                chosen = {"show": "mse_dn2", "by": "local_ssim", "low": "0.5", "high": "0.9"}
                view = explorer.make_view(words | chosen)
                find_farthest(explorer.read_seen(view), view.quantity)
                _note(times["brush"][number], begin)
        begin = time.perf_counter()
        with Explorer(study):
            _note(times["start"][1], begin)
    names = {
        "start": "explorer: start",
        "image": "explorer: another image or model, its map laid out",
        "brush": "explorer: another quantity, a brush and the farthest block",
    }
    return {
        names[key]: {"cold_s": statistics.median(cold), "warm_s": statistics.median(warm)}
        for key, (cold, warm) in times.items()
    }


def _note(times, begin):
    times.append(time.perf_counter() - begin)


def _ask(warehouse, sql, parameters=None):
    cold, warm = [], []
    for _ in range(RUNS):
        forget(warehouse)
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            for times in (cold, warm):
                begin = time.perf_counter()
                connection.sql(sql, params=parameters).to_arrow_table()
                times.append(time.perf_counter() - begin)
    return {"cold_s": statistics.median(cold), "warm_s": statistics.median(warm)}


def forget(path):
    """Drop a file from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
