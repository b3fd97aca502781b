"""Licence and citation texts that go with a published study."""

from pathlib import Path

from upscale_audit.analysis.pages import spell_markdown

CHESTXRAY8_URL = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
CHESTXRAY8_DOI = "https://doi.org/10.1109/CVPR.2017.369"

_CHESTXRAY8 = f"""\
## NIH ChestX-ray8

The reference images, or their labels, are from NIH ChestX-ray8. Its terms ask everyone who uses it
to

1. link to the download site: {CHESTXRAY8_URL}
2. cite: Xiaosong Wang, Yifan Peng, Le Lu, Zhiyong Lu, Mohammadhadi Bagheri, Ronald Summers,
   "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised
   Classification and Localization of Common Thorax Diseases", IEEE CVPR, pp. 3462-3471, 2017,
   {CHESTXRAY8_DOI}
3. acknowledge that the NIH Clinical Center provided the data.
"""
_OTHER_IMAGES = """\
## Images

The images that were audited are no part of this folder; their own terms hold for them.
"""
_SOFTWARE = """\
# Licences

## Software

The SQL in `sql/` is part of upscale-audit, under the MIT licence in `software.txt`.

## Tables and figures

{licence}

"""
_README = """\
# {study}

What image upscalers did to every 8x8 block of the study's radiographs, measured by upscale-audit.

| | |
|---|---|
| `exports/` | tables as Parquet; the yml files in `sql/models` say what a row and a column is |
| `figures/` | for print and screen |
| `sql/` | the dbt project that made the tables |
| `study.toml` | what was compared, with every parameter |
| `study.frozen.toml` | only of a study that keeps its axis: what scores every block |
| `study.detectors.toml` | only of a study that names one: what limits were measured to find |
| `provenance/` | manifests of the stages before, and the SHA-256 of every source file |
| `ro-crate-metadata.json` | this folder, for machines ([RO-Crate](https://w3id.org/ro/crate)) |

To verify: `sha256sum --check SHA256SUMS`, or `upscale-audit verify` on this folder, which follows
the manifests too.

For a footnote, Merkle roots (RFC 6962) over the lines of a hash list:

| of | over | root |
|---|---|---|
| source files | `provenance/raw/sources.sha256` | `{sources}` |
| exports | `exports/SHA256SUMS` | `{exports}` |

Please cite the software (`CITATION.cff`){data}.
"""
_CFF = """\
cff-version: 1.2.0
message: If you use these results, please cite the software and the data as below.
type: software
title: upscale-audit
{version}license: MIT
authors:
  - name: the upscale-audit authors
"""
_CFF_CHESTXRAY8 = f"""\
references:
  - type: conference-paper
    title: >-
      ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised
      Classification and Localization of Common Thorax Diseases
    authors:
      - {{given-names: Xiaosong, family-names: Wang}}
      - {{given-names: Yifan, family-names: Peng}}
      - {{given-names: Le, family-names: Lu}}
      - {{given-names: Zhiyong, family-names: Lu}}
      - {{given-names: Mohammadhadi, family-names: Bagheri}}
      - {{given-names: Ronald, family-names: Summers}}
    collection-title: IEEE Conference on Computer Vision and Pattern Recognition
    year: 2017
    start: "3462"
    end: "3471"
    doi: {CHESTXRAY8_DOI.removeprefix("https://doi.org/")}
    url: {CHESTXRAY8_URL}
"""


def describe_licences(licence: str | None, is_chestxray8: bool) -> str:
    """Text of LICENSES/README.md; `licence` is a URL, or None."""
    stated = f"`exports/` and `figures/` are under {licence}"
    if licence is None:
        stated = "No licence is stated for `exports/` and `figures/`."
    return _SOFTWARE.format(licence=stated) + (_CHESTXRAY8 if is_chestxray8 else _OTHER_IMAGES)


def describe_folder(
    study_name: str, sources_root: str, exports_root: str, is_chestxray8: bool
) -> str:
    """Text of README.md; a study's name may hold anything, and is shown as it is."""
    data = ", the data too, as its terms ask" if is_chestxray8 else ""
    study = spell_markdown(study_name)
    return _README.format(study=study, sources=sources_root, exports=exports_root, data=data)


def cite_software(version: str | None, is_chestxray8: bool) -> str:
    """Text of CITATION.cff (Citation File Format 1.2.0)."""
    line = "" if version is None else f"version: {version}\n"
    return _CFF.format(version=line) + (_CFF_CHESTXRAY8 if is_chestxray8 else "")


def read_licence() -> str:
    """Licence of the software; its name alone where it was installed without the text."""
    path = Path(__file__).resolve().parents[2] / "LICENSE"
    return path.read_text(encoding="utf-8") if path.is_file() else "MIT License\n"
