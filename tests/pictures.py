"""`make docs-pictures`: the pictures of README and docs, from the studies they are of.

docs/pictures.json says which figure of which study each picture is, and the hash of what it was
drawn from. That is Vega's description of it, data and all: it is the same on every machine, where
the bytes of a PNG depend on the machine's fonts.
"""

import json
import shutil
import sys
from pathlib import Path

from PIL import Image

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.study import plan_figures
from upscale_audit.analysis.marts import Marts
from upscale_audit.analysis.output import clean_spec, write_chart
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, hash_json
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.cli.drawing import list_folders

REPOSITORY = Path(__file__).resolve().parent.parent
LIST = REPOSITORY / "docs" / "pictures.json"


def read_list():
    """Give, by picture, where it comes from."""
    return json.loads(LIST.read_text(encoding="utf-8"))


def draw(study, figures):
    """Yield the name and the chart of some figures of a built study."""
    with Marts(study.warehouse) as marts:
        planned = plan_figures(marts, study.references, "en", list_folders(study))
        for name in figures:
            yield name, theme.finish(planned[name](marts))


def hash_drawing(chart):
    """Hash what a chart is drawn from."""
    return hash_json(clean_spec(chart.to_dict()))


def pack(source, target):
    """Copy an opaque PNG, a third of its size: same pixels, no alpha, harder to pack."""
    with Image.open(source) as picture:
        density = picture.info["dpi"]
        picture.convert("RGB").save(target, optimize=True, dpi=density)


def _find_built(path):
    """Load a study that has a warehouse; None where it, or an image folder of it, is yet to be."""
    try:
        study = load_study(path)
    except StudyError:
        return None
    return study if study.warehouse.is_file() else None


def main():
    """Draw the pictures of every built study; the exit code is 1 where one is not built."""
    pictures, unbuilt = read_list(), []
    for study_file in sorted({item["study"] for item in pictures.values() if "study" in item}):
        named = {name: item for name, item in pictures.items() if item.get("study") == study_file}
        mine = {item["figure"]: name for name, item in named.items()}
        study = _find_built(REPOSITORY / study_file)
        if study is None:
            unbuilt.append(study_file)
            continue
        fresh = study.output / ".docs-pictures"
        for figure, chart in draw(study, mine):
            picture = LIST.parent / mine[figure]
            pack(write_chart(chart, fresh, figure)[0], picture)
            pictures[picture.name] |= {
                "drawing_sha256": hash_drawing(chart),
                "picture_sha256": hash_file(picture),
            }
            print(f"drew docs/{picture.name} from {study_file}", file=sys.stderr)
        shutil.rmtree(fresh)
    lines = [f"  {json.dumps(n)}: {json.dumps(item)}" for n, item in sorted(pictures.items())]
    LIST.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    for study_file in unbuilt:
        print(f"{study_file} is not built, so its pictures stand: docs/audit.md", file=sys.stderr)
    return 1 if unbuilt else 0


if __name__ == "__main__":
    sys.exit(main())
