"""docs/scale.md and docs/scale.png, from the figures that `tests.bench.scale` keeps."""

import io

import altair as alt

from tests.bench.contenders import CONTENDERS
from tests.bench.scale import REPOSITORY, read_growth, read_results
from upscale_audit.analysis.theme import BLACK, BLUE, GREY, VERMILLION, finish, make_data
from upscale_audit.ingest.files import replacing, write_text
from upscale_audit.ingest.wording import count_noun

TARGET_US, TARGET_BYTES = 4, 8 * 2**30
"""At most so much CPU a block row, and so much resident memory, at every scale."""

PANEL = {"width": 205, "height": 120}
GIB, MILLION = 2**30, 10**6


def write_report():
    """Write the page and its figure anew from every scale that was measured.

    Returns
    -------
    list of Path
    """
    results = read_results()
    page, figure = REPOSITORY / "docs" / "scale.md", REPOSITORY / "docs" / "scale.png"
    write_text(page, format_page(results))
    png = io.BytesIO()
    draw_scale(results).save(png, format="png", ppi=220)
    with replacing(figure) as temporary:
        temporary.write_bytes(png.getvalue())
    return [page, figure]


def format_page(results):
    """Text of the page."""
    machine = results[-1]["machine"]
    parts = [
        f"# The build, up to {results[-1]['rows'] / MILLION:.0f} million block rows\n",
        '`make bench ROWS="1 8 82 328"` generates studies by resampling real blocks'
        " (`tests/bench/resample.py`), builds each in a process of its own and writes this page."
        " A row is a block of one image under one model, both inference paths in it; the published"
        " study has 328 million. CPU is user and system time of the whole build: start of Python,"
        " every dbt model and test, publication. Wall time depends on what else the machine does:"
        " the load is the mean number of processes that wanted a core, over five minutes. Where a"
        " row's cost goes, what was tried, and what real pixels cost instead:"
        " [row-cost.md](row-cost.md).\n",
        f"{machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory_bytes'] / GIB:.0f} GiB; Python {machine['python']},"
        f" DuckDB {machine['duckdb']}.\n",
        "![CPU, wall time, memory and disk of the build, by block rows](scale.png)\n",
        _format_builds(results),
        _format_growth(results),
        _format_whole(results[-1]),
        _format_nodes(results[-1]),
        *map(_format_latency, results[-1:]),
        _format_steps(*read_growth()),
        *(_format_exports(item) for item in results if "exports" in item),
        *(_format_contenders(item) for item in results if "contenders" in item),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _table(heads, rows):
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def _format_builds(results):
    rows = [
        [
            f"{item['rows']:,}",
            item["images"],
            f"{item['build']['cpu_s']:.0f}",
            f"{item['build']['wall_s']:.0f}",
            f"{MILLION * item['build']['cpu_s'] / item['rows']:.2f}",
            f"{item['build']['peak_bytes'] / GIB:.2f}",
            f"{item['raw_bytes'] / item['rows']:.1f}",
            f"{item['warehouse_bytes'] / item['rows']:.1f}",
            _format_disk(item),
            f"{item['machine']['load']:.1f}",
        ]
        for item in results
    ]
    heads = [
        "block rows",
        "images",
        "CPU s",
        "wall s",
        "CPU µs a row",
        "peak GiB",
        "raw B a row",
        "warehouse B a row",
        "peak disk beside raw, B a row",
        "load",
    ]
    return "## Size and cost\n\n" + _table(heads, rows)


def _format_disk(item):
    peak = item["build"]["peak_disk_bytes"]
    return "" if peak is None else f"{(peak - item['raw_bytes']) / item['rows']:.1f}"


def _format_growth(results):
    """What the next row costs, and what a build costs before its first."""
    if len(results) < 2:
        return ""
    first, last = results[0], results[-1]
    slope = (last["build"]["cpu_s"] - first["build"]["cpu_s"]) / (last["rows"] - first["rows"])
    start = first["build"]["cpu_s"] - slope * first["rows"]
    return (
        f"Between the smallest and the largest, a further row takes {MILLION * slope:.2f} µs of"
        f" CPU; before its first row, a build takes {start:.0f} s.\n"
    )


def _format_whole(item):
    """From raw Parquet to the exports, at the largest scale."""
    if "export" not in item:
        return ""
    export, build = item["export"], item["build"]
    minutes = (export["wall_s"] + build["wall_s"]) / 60
    return (
        f"Exporting all tables of {item['rows']:,} rows took a further {export['wall_s']:.0f} s,"
        f" {export['cpu_s']:.0f} CPU s and {export['peak_bytes'] / GIB:.2f} GiB at most, for"
        f" {export['bytes'] / 1e9:.1f} GB: {minutes:.0f} minutes from raw Parquet to exports.\n"
    )


def _format_nodes(item, count=15):
    # The first node's cost is of all that went before, too.
    start, *nodes = item["nodes"]
    nodes = [start | {"name": "start: hashes of raw files, dbt's parse"}, *nodes]
    nodes.sort(key=lambda node: -node["cpu_s"])
    rows = [
        [
            # A data test is named by its arguments, all of them.
            node["name"]
            if node["name"].startswith("start")
            else f"`{node['name'].split('__at_')[0]}`",
            f"{node['cpu_s']:.1f}",
            f"{node['wall_s']:.1f}",
            f"{MILLION * node['cpu_s'] / item['rows']:.3f}",
            f"{node['peak_bytes'] / GIB:.2f}",
        ]
        for node in nodes[:count]
    ]
    rest = sum(node["cpu_s"] for node in nodes[count:])
    rest_us = MILLION * rest / item["rows"]
    rows.append([f"{len(nodes) - count} others", f"{rest:.1f}", "", f"{rest_us:.3f}", ""])
    return f"## Where it goes, at {item['rows']:,} rows\n\n" + _table(
        ["dbt node, or what else", "CPU s", "wall s", "CPU µs a row", "peak GiB"], rows
    )


def _format_latency(item):
    rows = [
        [name, f"{answer['cold_s']:.3f}", f"{answer['warm_s']:.3f}"]
        for name, answer in item["latency"].items()
    ]
    return (
        f"## An analyst's wait, at {item['rows']:,} rows\n\nCold: none of the file in the page"
        " cache, a fresh connection.\n\n" + _table(["question", "cold s", "warm s"], rows)
    )


def _format_steps(steps, builds):
    """Cost of growing a study: ingest on real images, and builds of a frozen study at size."""
    if not steps:
        return ""
    rows = [[row["step"], row["pairs"], f"{row['cpu_s']:.1f}"] for row in steps]
    parts = [
        "## Adding a model or images\n",
        "Ingest costs what was added, beside hashing what is there:\n",
        _table(["eight real images, four models", "pairs measured", "ingest CPU s"], rows),
    ]
    if builds:
        parts.append(
            "A build ([growing.md](growing.md)) scores and sums what was added. It also hashes the"
            " raw folder and the warehouse before, copies that, hashes the result, and makes"
            " everything of an image's size or less anew. What has grown is what a build from"
            " nothing makes: equal SHA-256 of every exported mart, equal digests of all rows of"
            " the tables of blocks. Where a study scores by its own axis, every build is one from"
            " nothing.\n"
        )
    for build in builds:
        rows = [
            [
                row["step"],
                f"{row['added_rows']:,}",
                f"{row['cpu_s']:.0f}",
                f"{row['wall_s']:.0f}",
                f"{row['peak_bytes'] / GIB:.2f}",
            ]
            for row in build["steps"]
        ]
        heads = [f"up to {build['rows']:,} rows", "rows added", "CPU s", "wall s", "peak GiB"]
        parts.append(_table(heads, rows))
    return "\n".join(parts)


def _format_exports(item):
    rows = [
        [
            f"{run['memory']}, {count_noun(run['threads'], 'thread')}",
            *(
                f"{run[stage][key] / unit:.{digits}f}"
                for stage in ("build", "export")
                for key, unit, digits in (("cpu_s", 1, 0), ("peak_bytes", GIB, 2))
            ),
        ]
        for run in item["exports"]["runs"]
    ]
    heads = ["limits", "build CPU s", "build peak GiB", "export CPU s", "export peak GiB"]
    return (
        f"## The same exports under other limits, at {item['rows']:,} rows\n\nEvery exported file"
        f" is the same bytes ({item['exports']['export_bytes'] / 1e6:.0f} MB). The limit of an"
        " export is the memory's alone; it takes all cores.\n\n" + _table(heads, rows)
    )


def _format_contenders(item):
    rows = []
    for contender in item["contenders"]:
        if "absent" in contender:
            absent = f"{' and '.join(contender['absent'])} not installed"
            rows.append([CONTENDERS[contender["name"]], absent, "", ""])
            continue
        cells = (contender["wall_s"], contender["cpu_s"], contender["peak_bytes"] / GIB)
        rows.append([CONTENDERS[contender["name"]], *(f"{cell:.1f}" for cell in cells)])
    return (
        f"## Side by side, at {item['rows']:,} rows\n\nFive features of every block, the pooled"
        " first axis, each block's score, means by model and polarity; counts agree to 1 in"
        " 10,000, means to 1e-6."
        " The rows of `upscale-audit` also write every column of both paths, exact in"
        " fixed point and with intervals; the others keep only the means, of one path, in floating"
        " point. Peak is of the largest process.\n\n"
        + _table(["what", "wall s", "CPU s", "peak GiB"], rows)
    )


def draw_scale(results):
    """Draw cost against size, both axes logarithmic, with the targets.

    Parameters
    ----------
    results : list of dict
        From `tests.bench.scale.read_results`.

    Returns
    -------
    altair.TopLevelMixin
    """
    data = [
        {
            "rows": item["rows"],
            "cpu": item["build"]["cpu_s"],
            "wall": item["build"]["wall_s"],
            "us": MILLION * item["build"]["cpu_s"] / item["rows"],
            "memory": item["build"]["peak_bytes"] / GIB,
            "raw": item["raw_bytes"] / item["rows"],
            "warehouse": item["warehouse_bytes"] / item["rows"],
        }
        for item in results
    ]
    panels = [
        _draw_panel(data, {"cpu": "CPU", "wall": "wall"}, "seconds", logarithmic=True),
        _draw_panel(data, {"us": "CPU"}, "CPU µs a row", logarithmic=True, target=TARGET_US),
        _draw_panel(data, {"memory": "peak"}, "peak resident GiB", target=TARGET_BYTES / GIB),
        _draw_panel(data, {"raw": "raw Parquet", "warehouse": "warehouse"}, "bytes a row"),
    ]
    rows = [alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:])]
    return finish(alt.vconcat(*rows).resolve_scale(color="independent"))


def _draw_panel(data, names, title, logarithmic=False, target=None):
    rows = [
        {"rows": row["rows"], "value": row[name], "what": label}
        for row in data
        for name, label in names.items()
    ]
    scale = alt.Scale(type="log", nice=True) if logarithmic else alt.Scale(zero=True)
    x = alt.X(
        "rows:Q",
        scale=alt.Scale(type="log", domain=[7e5, 5e8]),
        axis=alt.Axis(values=[1e6, 1e7, 1e8], format="~s", title="block rows"),
    )
    base = alt.Chart(make_data(rows), **PANEL)
    colours = alt.Scale(domain=list(names.values()), range=[BLUE, VERMILLION])
    colour = alt.Color("what:N", scale=colours, legend=None)
    y = alt.Y("value:Q", scale=scale, title=title)
    layers = [base.mark_line(strokeWidth=1), base.mark_point(filled=True, size=18, opacity=1)]
    if len(names) > 1:
        last = base.transform_filter(alt.datum.rows == max(row["rows"] for row in data))
        layers.append(last.mark_text(align="left", dx=6).encode(text="what:N"))
    layers = [layer.encode(x=x, y=y, color=colour) for layer in layers]
    if target is not None:
        line = alt.Chart(
            make_data([{"value": target, "text": f"target: at most {target:g}"}]), **PANEL
        )
        layers.append(line.mark_rule(strokeDash=[3, 3], color=GREY).encode(y="value:Q"))
        text = line.mark_text(align="left", dx=4, dy=-5, color=BLACK)
        layers.append(text.encode(y="value:Q", x=alt.value(0), text="text:N"))
    return alt.layer(*layers).resolve_scale(color="independent")
