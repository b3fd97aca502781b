"""The page and the figure of the calibration, from counts alone."""

import math
from collections import defaultdict

from tests.calibration.questions import INTERVALS, PUBLISHED, RATES, TESTS
from tests.calibration.shares import (
    COVERAGE_PCT,
    RATES_PCT,
    REJECTION_PCT,
    estimate_share,
    format_share,
)
from tests.calibration.studies import EFFECTS, LIKENESS, MOST_IMAGES, SAME_PLACE_RATE

_INTRODUCTION = f"""# Calibration

Written by `make calibrate`. Studies whose truth is known are simulated as raw tables, go through
the dbt project, and the columns of its marts are counted: how often a 95 % interval holds the
truth, how often a test rejects a null hypothesis that is true, at 0.05. The same code gives the
same page: every seed is fixed.

A build simulates many models at once, each an independent draw. They share patients (1 to
{MOST_IMAGES} images each, resampled together), references, boxes and the bootstrap's draws, as the
models of one study do; so builds with other patients and other draws make up each figure: at
each number of patients {{builds}}, of {{models}} models, half for each kind of patient effects.
A measured value is a population mean, plus effects of patient, image and block. Patient effects
are normal, or skewed: exponential, a few patients restored far worse than the rest.
Sections from the areas under the ROC curve on simulate what a mart adds up, and render its SQL
without dbt. The last section says where each interval and each p of the marts is simulated.

In parentheses is the Monte-Carlo 95 % interval of the figure itself (Wilson's, for the number of
studies that independent draws would need to vary as the builds did). **Bold** lies outside the
aim ({COVERAGE_PCT[0]} to {COVERAGE_PCT[1]} % of intervals, {REJECTION_PCT[0]} to \
{REJECTION_PCT[1]} % of tests) by more than that.
"""
_ONE_BUILD = """
Of one build the parentheses cannot tell what its patients and draws do to all its models alike: a
figure strays farther than they say. Run it with more before a cell is taken for a finding.
"""

_INTERVALS = """## Intervals: share that hold the truth, in %
"""

_RATES = f"""## Flag rates: share of intervals that hold the truth, in %

Whether a rule fires is an image's own and its patient's: of correlation {LIKENESS:g} between images
of one. Intervals of Korn and Graubard are made to hold the truth in 95 % of studies or more.
"""

_TESTS = f"""## Tests: share that reject a true null at 0.05, in %

The worst block of an image is placed uniformly, and with probability {SAME_PLACE_RATE:g} where
its patient's other images have theirs. The first four read a published location file, which
lists the quarter of the images with the smallest SSIM. No finding has an effect; up to eight are
tested together. n is smaller where some studies have too few patients for a test.
"""

_PUBLISHED = """## The published tests, at the size of the published study

1,567 patients with 3.2 images on average, a 128 × 128 grid, the quarter of the images with the
smallest SSIM located; placement uniform, texture and SSIM independent, both alike within a
patient.
"""


def format_page(counts, settings):
    """Write the page.

    Parameters
    ----------
    counts : list of Count
    settings : iterable of Setting

    Returns
    -------
    str
        Markdown.
    """
    groups = group_counts(counts)
    sizes = sorted(item.patients for item in settings if not item.is_published)
    published = [item.patients for item in settings if item.is_published]
    lines = [introduce(settings), _INTERVALS]
    for effect in EFFECTS:
        lines += [f"Patient effects: {effect}.", ""]
        lines += _format_table(groups, INTERVALS, sizes, effect, COVERAGE_PCT)
    lines.append("![Share of intervals that hold the truth](calibration.png)\n")
    lines.append(_RATES)
    for effect in EFFECTS:
        lines += [f"Patient effects: {effect}.", ""]
        lines += _format_table(groups, RATES, sizes, effect, RATES_PCT)
    lines.append(_TESTS)
    for effect in EFFECTS:
        lines += [f"Patient effects: {effect}.", ""]
        lines += _format_table(groups, TESTS, sizes, effect, REJECTION_PCT)
    lines.append(_PUBLISHED)
    for effect in EFFECTS:
        lines += [f"Patient effects: {effect}.", ""]
        lines += _format_table(groups, PUBLISHED, published, effect, REJECTION_PCT)
    return "\n".join(lines).rstrip("\n") + "\n"


def replace_sections(page, heads, made):
    """Put sections into a page in place of those of the same heading.

    Parameters
    ----------
    page : str
        Sections of no known heading stay, and come first.
    heads : dict of str to str
        By name, in the order that the sections are to have: a text that begins with the heading.
    made : dict of str to str
        Sections by name; what is not made stays as the page has it.

    Returns
    -------
    str
    """
    titles = {head.partition("\n")[0]: name for name, head in heads.items()}
    first, *rest = page.split("\n## ")
    found, parts = {}, [first]
    for section in (f"## {part}" for part in rest):
        name = titles.get(section.partition("\n")[0])
        if name is None:
            parts.append(section)
        else:
            found[name] = section
    found |= made
    parts += [found[name] for name in heads if name in found]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def introduce(settings):
    """Say what is simulated, and how much of it.

    Parameters
    ----------
    settings : iterable of Setting

    Returns
    -------
    str
    """
    builds = [item.builds for item in settings]
    models = [item.models for item in settings]
    spans = {"builds": _span(builds), "models": _span(models)}
    return _INTRODUCTION.format(**spans) + (_ONE_BUILD if min(builds) == 1 else "")


def _span(numbers):
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def find_shares(counts):
    """Pool the builds of each question, size and effect.

    Parameters
    ----------
    counts : list of Count

    Returns
    -------
    dict
        By question, patients and effect: share, lower and upper end of its interval (0..1),
        and the number of studies.
    """
    return {key: estimate_share(builds) for key, builds in group_counts(counts).items()}


def group_counts(counts):
    """Gather the builds of each question, size and effect.

    Parameters
    ----------
    counts : list of Count

    Returns
    -------
    dict
        By question, patients and effect: hits and studies of each build.
    """
    groups = defaultdict(list)
    for item in counts:
        groups[item.question, item.patients, item.effect].append((item.hits, item.studies))
    return groups


def _format_table(groups, questions, sizes, effect, aim):
    has_truth = hasattr(questions[0], "truth")
    header = ["what", *(["truth"] if has_truth else [])]
    found = [
        max(
            (
                sum(studies for _, studies in groups[key])
                for key in groups
                if key[1:] == (size, effect)
            ),
            default=0,
        )
        for size in sizes
    ]
    header += [f"{size:,} patients, n = {n:,}" for size, n in zip(sizes, found, strict=True)]
    lines = [f"| {' | '.join(header)} |"]
    lines.append("|---|" + "---:|" * (len(header) - 1))
    for question in questions:
        cells = [question.name, *([f"{question.truth:.4g}"] if has_truth else [])]
        for size, studies in zip(sizes, found, strict=True):
            builds = groups.get((question.name, size, effect), [])
            cells.append(format_share(builds, aim, studies))
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def draw_page(counts, folder):
    """Draw the coverage of every interval by number of patients as calibration.png.

    Parameters
    ----------
    counts : list of Count
    folder : Path
    """
    import altair as alt

    from upscale_audit.analysis import theme

    names = {question.name for question in INTERVALS}
    rows = [
        {"what": name, "patients": size, "effect": effect}
        | dict(zip(("share", "low", "high"), (100 * value for value in values), strict=True))
        for (name, size, effect), (*values, _) in find_shares(counts).items()
        if name in names
    ]
    lowest = 5 * math.floor(min(row["low"] for row in rows) / 5)
    sizes = sorted({row["patients"] for row in rows})
    panels = [
        _draw_panel(
            [row for row in rows if row["patients"] == size], size, lowest, size == sizes[0]
        )
        for size in sizes
    ]
    theme.finish(alt.hconcat(*panels, spacing=8)).save(folder / "calibration.png", ppi=200)


def _draw_panel(rows, patients, lowest, is_first):
    """Draw the intervals' coverage at one number of patients, over the band that is aimed at."""
    import altair as alt

    from upscale_audit.analysis import theme

    names = [question.name for question in INTERVALS]
    scale = alt.Scale(domain=[lowest, 100], nice=False)
    axis = alt.Axis(ticks=False) if is_first else None
    band = [dict(zip(("from", "to"), COVERAGE_PCT, strict=True))]
    aim = alt.Chart(theme.make_data(band)).mark_rect(color=theme.PALE_GREY, opacity=0.6)
    marks = alt.Chart(theme.make_data(rows)).encode(
        y=alt.Y("what:N", title=None, axis=axis, scale=alt.Scale(domain=names)),
        yOffset=alt.YOffset("effect:N", scale=alt.Scale(domain=list(EFFECTS))),
        color=alt.Color("effect:N", title="patient effects").scale(
            domain=list(EFFECTS), range=[theme.BLUE, theme.VERMILLION]
        ),
    )
    spans = marks.mark_rule(strokeWidth=1).encode(
        x=alt.X("low:Q", scale=scale, title="coverage, %"), x2="high:Q"
    )
    points = marks.mark_point(filled=True, size=14, opacity=1).encode(x="share:Q")
    return alt.layer(
        aim.encode(x=alt.X("from:Q", scale=scale), x2="to:Q"), spans, points
    ).properties(
        width=82,
        height=14 * len(names),
        title=alt.TitleParams(
            f"{patients} patients",
            frame="group",
            fontSize=theme.TEXT_PT + 0.5,
            fontWeight="normal",
            offset=3,
        ),
    )
