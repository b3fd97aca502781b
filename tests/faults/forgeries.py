"""Forge what stages wrote, every hash of it restated; put hostile words and names everywhere."""

import contextlib
import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
from PIL import Image

from tests.conftest import StudyFolder
from tests.faults.common import Failure, Tally, attempt, expect, read_tree, run_command
from tests.unit.analysis.test_pages import PAYLOAD, Tags
from tests.warehouse.test_shapes import WRONG, change, list_places, restated
from tests.warehouse.test_vouchers import FORGERIES, forge_frozen, replace_source
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import (
    MANIFEST,
    SUMS,
    WAREHOUSE_MANIFEST,
    format_sums,
    restate,
    write_manifest,
)
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.frozen import freeze_study
from upscale_audit.warehouse.proof.inclusion import describe_proof
from upscale_audit.warehouse.proof.verify import verify

MAP = ("a", "alpha", "--also", "beta")


def launder_measures(study, times, generator):
    """Forge units, shards, tables or all of raw/: named, refused, and measured again."""
    expected, tally = read_tree(study.raw), Tally()
    forgeries = FORGERIES | {"replaced reference": replace_source}
    reference = (study.references / "a.png").read_bytes()
    for number in range(times):
        name = list(forgeries)[number % len(forgeries)]
        forgeries[name](study)
        expect(verify(study.raw, study).findings, f"{name}: verify did not notice")
        if name in FORGERIES:
            refused = attempt(build_warehouse, study) == "StudyError"
            expect(refused, f"{name}: built from a forgery")
        (study.references / "a.png").write_bytes(reference)
        ingest_study(study, workers=1)
        expect(read_tree(study.raw) == expected, f"{name}: ingest adopted a forgery")
        tally.add("named, refused, measured again")
        tally.identical += 1
    return tally


def launder_folder(folder, generator):
    """Change a file of a folder and every hash of it there; gives back how to undo it."""
    truth = json.loads((folder / MANIFEST).read_text())
    name = generator.choice([name for name in truth["files"] if name != SUMS])
    kept = {path: path.read_bytes() for path in (folder / name, folder / SUMS, folder / MANIFEST)}
    data = bytearray(kept[folder / name])
    data[generator.randrange(len(data))] ^= generator.randint(1, 255)
    (folder / name).write_bytes(data)
    files = {key: value for key, value in truth["files"].items() if key != SUMS}
    files[name] = hash_file(folder / name)
    (folder / SUMS).write_text(format_sums(files), encoding="utf-8")
    files[SUMS] = hash_file(folder / SUMS)
    forged = truth | {"files": dict(sorted(files.items()))}
    write_manifest(folder / MANIFEST, forged | restate(forged))

    def undo():
        for path, content in kept.items():
            path.write_bytes(content)

    return undo


def launder_outputs(study, times, generator):
    """Forge exports, figures and maps, their manifests restated: `verify` names them."""
    for words in (("export",), ("figures",), ("map", *MAP)):
        run_command(words[0], study.path, *words[1:])
    (mapped,) = {path.parent for path in (study.output / "maps").rglob(MANIFEST)}
    folders = {"exports": study.output / "exports", "figures": study.output / "figures"}
    folders["maps"] = mapped
    expected, tally = {name: read_tree(folder) for name, folder in folders.items()}, Tally()
    for number in range(times):
        kind = list(folders)[number % 3]
        undo = launder_folder(folders[kind], generator)
        named = {(item.problem, item.name) for item in verify(study.output, kinds=CHECKED).findings}
        sealed = (folders[kind] / MANIFEST).relative_to(study.output).as_posix()
        expect(("differs", sealed) in named, f"{kind}: verify believed a forgery: {named}")
        tally.add(f"{kind}: named by verify")
        undo()
    for kind, folder in folders.items():
        launder_folder(folder, generator)
        words = {"exports": ("export",), "figures": ("figures",), "maps": ("map", *MAP)}[kind]
        run_command(words[0], study.path, *words[1:])
        expect(read_tree(folder) == expected[kind], f"{kind}: a forgery was not replaced")
        tally.identical += 1
    return tally


CHECKED = ("exports", "exported", "figures", "drawn", "maps")


def read_tampered(study, times, generator):
    """Change bytes of the warehouse, then let every reader have it: refused by its hash."""
    good, tally = study.warehouse.read_bytes(), Tally()
    readers = {
        "export": lambda: export_tables(study),
        "freeze": lambda: freeze_study(study),
        "figures": lambda: run_command("figures", study.path),
        "map": lambda: run_command("map", study.path, *MAP),
        "worst": lambda: run_command("worst", study.path, "alpha"),
    }
    before = {name: read_tree(study.output / name) for name in ("exports", "figures", "maps")}
    study.warehouse.chmod(0o644)
    for number in range(times):
        bad = bytearray(good)
        for _ in range(generator.randint(1, 20)):
            bad[generator.randrange(len(bad))] ^= generator.randint(1, 255)
        study.warehouse.write_bytes(bad)
        name = list(readers)[number % len(readers)]
        try:
            readers[name]()
        except StudyError as error:
            expect("not as it was published" in str(error), str(error))
            tally.add(f"{name}: refused", str(error))
        else:
            raise Failure(f"{name} read a tampered warehouse")
    study.warehouse.write_bytes(good)
    study.warehouse.chmod(0o444)
    after = {name: read_tree(study.output / name) for name in before}
    expect(after == before, "a tampered warehouse reached a file")
    tally.identical = 1
    return tally


MANIFESTS = (f"raw/{MANIFEST}", WAREHOUSE_MANIFEST, f"exports/{MANIFEST}", f"figures/{MANIFEST}")


def mistype_manifests(study, times, generator):
    """Put values of wrong types into manifests, hashes restated: a finding, and one line each."""
    tally, names = Tally(), [name for name in MANIFESTS if (study.output / name).exists()]
    for number in range(times):
        name = names[number % len(names)]
        path = study.output / name
        good = path.read_bytes()
        truth = forged = json.loads(good)
        places = [place for place in list_places(truth) if place]
        while forged == truth:
            place = generator.choice(places)
            forged = restated(change(truth, place, generator.choice(WRONG)))
        write_manifest(path, forged)
        if name != WAREHOUSE_MANIFEST:
            expect(verify(study.output, study).findings, f"{name}: {place} was believed")
        else:
            attempt(verify, study.output, study)
        if name.startswith("raw"):
            expect(attempt(build_warehouse, study) == "StudyError", f"built on a wrong {place}")
            attempt(describe_proof, study)
        attempt(freeze_study, study)
        study.path.with_suffix(".frozen.toml").unlink(missing_ok=True)
        path.write_bytes(good)
        tally.add(f"{name.partition('/')[0]}: named or refused")
    return tally


def forge_limits(study, times, generator):
    """Change a digit of a frozen file and restate its hash: no build takes it."""
    path, tally = freeze_study(study), Tally()
    frozen, truth = replace(study, frozen=path), path.read_text()
    numbers = sorted(set(re.findall(r" = (\d+\.\d+)", truth)))
    for _ in range(times):
        value = generator.choice(numbers)
        other = generator.choice(('"text"', "[1]", "true", "nan", "inf", f"1{value}", f"-{value}"))
        try:
            forge_frozen(path, f" = {value}", f" = {other}")
            expect(attempt(build_warehouse, frozen) == "StudyError", f"{other} was believed")
        finally:
            path.write_text(truth)
        tally.add("refused")
    return tally


def exchange_references(study, times, generator):
    """Replace a reference between two ingests: no row of it keeps another's number."""
    expected, tally = read_tree(study.raw), Tally()
    path = study.references / "a.png"
    good = path.read_bytes()
    with Image.open(path) as image:
        pixels = np.asarray(image).copy()
    for _ in range(times):
        at = tuple(generator.randrange(side) for side in pixels.shape)
        changed = pixels.copy()
        changed[at] ^= 1 << generator.randrange(8)
        Image.fromarray(changed).save(path)
        expect(ingest_study(study, workers=1).units_measured == 1, "a new reference was passed by")
        expect(read_tree(study.raw) != expected, "a new reference gave the old numbers")
        path.write_bytes(good)
        expect(ingest_study(study, workers=1).units_measured == 1, "an old reference was passed by")
        expect(read_tree(study.raw) == expected, "the old reference gave other numbers")
        tally.add("measured again")
        tally.identical += 1
    return tally


FOLDERS = (
    "study[1]",
    "model_id=x,image_id=7",
    "{{ x }}{% y %}",
    "a*b",
    "a'b\"",
    "\u202e;#%20",
    "é\n",
)
TEMPLATES = ("{{{{ 1 / 0 }}}}", "{{% endif %}}", '{{{{ env_var("HOME") }}}}', "{payload}")


def name_with_hostility(study, times, generator):
    """Build and draw a study of hostile folder names, Jinja in its texts and script in labels."""
    tally = Tally()
    for _ in range(times):
        root = study.path.parent.parent / "hostile" / generator.choice(FOLDERS)
        folder = StudyFolder(root)
        for model_id in ("alpha", "beta"):
            folder.add_model(model_id, paths=("notta",))
        for image_id in "abc":
            folder.add_image(image_id)
        texts = [text.format(payload=PAYLOAD) for text in generator.sample(TEMPLATES, 3)]
        with (root / "boxes.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "", "", ""])
            rows.writerows([f"{name}.png", texts[0], 0, 0, 16, 16, "", "", ""] for name in "abc")
        folder.load(labels='boxes = "boxes.csv"')
        text = (root / "study.toml").read_text()
        text = text.replace('name = "tiny"', f"name = {json.dumps(texts[1])}")
        text += f"bootstrap_seed = {json.dumps(texts[2])}\n"
        (root / "study.toml").write_text(text)
        hostile = load_study(root / "study.toml")
        ingest_study(hostile, workers=1)
        build_warehouse(hostile, threads=2)
        export_tables(hostile)
        run_command("figures", hostile.path)
        for page in (hostile.output / "figures").rglob("*.html"):
            read = Tags(page.read_text(encoding="utf-8"))
            expect(
                not read.handlers and "img" not in read.tags, f"{page.name} holds a stranger's tag"
            )
        expect([path.name for path in root.parent.iterdir()] == [root.name], "written elsewhere")
        tally.add("built and drawn, all of it text")
        shutil.rmtree(root.parent)
    return tally


def draw_degenerate(study, times, generator):
    """Build studies without contrast, size or change: no NaN in any table."""
    tally = Tally()
    for _ in range(times):
        root = study.path.parent.parent / "degenerate"
        folder = StudyFolder(root)
        folder.add_model("alpha", paths=("notta",))
        side = generator.choice((8, 9, 16, 23))
        for number in range(generator.randint(1, 4)):
            level = generator.choice((0, 128, 255))
            plain = np.full((side, side + number), level, np.uint8)
            folder.put(f"i{number}.png", plain)
            shift = generator.choice((0, 0, 1, 3))
            folder.put(f"i{number}.png", np.minimum(plain, 255 - shift) + np.uint8(shift), "alpha")
        plain_study = folder.load()
        ingest_study(plain_study, workers=1)
        build_warehouse(plain_study, threads=2)
        with contextlib.closing(open_warehouse(plain_study.warehouse)) as connection:
            columns = connection.execute(
                "select table_name, column_name from duckdb_columns() where not internal"
                " and schema_name = 'main' and data_type in ('DOUBLE', 'FLOAT')"
            ).fetchall()
            for table, column in columns:
                query = f'select count(*) from "{table}" where not isfinite("{column}")'
                found = connection.execute(query).fetchall()
                expect(found == [(0,)], f"{table}.{column} is not finite")
        tally.add("published, no NaN")
        shutil.rmtree(root)
    return tally
