"""Import of a published block table at full size: blocks of a real study, drawn again and again.

``python -m tests.bench published`` writes a CSV of 82 million
rows, imports it in a process of its own, and says what that took.
"""

import sys

import duckdb

from tests.bench.processes import measure

IMAGES, SIDE = 5004, 128
MEASURES = ("local_ssim", "pc1", "d_sharp", "d_texture", "d_block", "d_ring")
MIX = 2654435761


def write_table(warehouse, path, images=IMAGES):
    """Write the table of a configuration: every block of `images` grids, in raster order.

    Parameters
    ----------
    warehouse : Path
        Whose notta blocks are drawn from.
    path : Path
    images : int

    Returns
    -------
    int
        Rows.
    """
    chosen = ", ".join(f"{name}_notta as {name}" for name in MEASURES)
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute(
            f"create temp table pool as select row_number() over () - 1 as place, {chosen}"
            " from fct_blocks where local_ssim_notta is not null"
        )
        ((count,),) = connection.sql("select count(*) from pool").fetchall()
        blocks = SIDE * SIDE
        connection.execute(
            "copy (select printf('%08d_000', number // $blocks) as image, 'swinir' as model,"
            " number % $blocks // $side as row, number % $side as col,"
            f" {', '.join(MEASURES)} from range($rows) as drawn(number)"
            " inner join pool on pool.place = number * $mix % $count)"
            " to $path (format csv, header)",
            {
                "blocks": blocks, "side": SIDE, "rows": images * blocks, "mix": MIX,
                "count": count, "path": str(path),
            },
        )  # fmt: skip
    return images * blocks


def bench_published(warehouse, folder, images=IMAGES):
    """Write a table and import it; both stay in the folder.

    Parameters
    ----------
    warehouse, folder : Path
    images : int

    Returns
    -------
    dict
        ``rows``, ``bytes`` of the CSV, ``raw_bytes``, ``wall_s``, ``cpu_s``, ``peak_gib``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, study = folder / "blocks.csv", folder / "study.toml"
    rows = write_table(warehouse, path, images)
    study.write_text(
        '[study]\nname = "published"\n[[published_blocks]]\nlabel = "drawn"\n'
        'file = "blocks.csv"\npath = "notta"\n'
    )
    cost = measure([sys.executable, "-m", "upscale_audit.warehouse.cli", "ingest", str(study)])
    (raw,) = (folder / "raw" / "published_blocks").iterdir()
    return {
        "rows": rows,
        "bytes": path.stat().st_size,
        "raw_bytes": raw.stat().st_size,
        "wall_s": cost.wall_s,
        "cpu_s": cost.cpu_s,
        "peak_gib": cost.peak_bytes / 2**30,
    }
