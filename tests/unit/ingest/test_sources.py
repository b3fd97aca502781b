"""Names of source files within the study, in whatever sub-folder they lie."""

import numpy as np

from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import SOURCES
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.sources import find_sources

GREY = np.random.default_rng(1).integers(0, 256, (16, 24), np.uint8)


def test_files_in_sub_folders_are_measured_listed_and_found(study_folder, read_rows):
    study_folder.add_model("alpha", paths=("notta",))
    for folder in ("images_001/images", "images_002/images"):
        (study_folder.folder() / folder).mkdir(parents=True)
    (study_folder.folder("alpha", "notta") / "images_002").mkdir()
    study_folder.put("images_001/images/a.png", GREY)
    study_folder.put("images_002/images/b.png", GREY)
    study_folder.put("a.png", GREY, "alpha")
    study_folder.put("images_002/b.png", GREY, "alpha")
    study_folder.put("images_002/c.png", b"no image", "alpha")
    study = study_folder.load()
    report = ingest_study(study, workers=1)
    assert (report.images, report.missing) == (2, 0)
    names = {(row["role"], row["file_name"]) for row in read_rows(study.raw, "source_files")}
    assert names == {
        ("reference", "images_001/images/a.png"),
        ("reference", "images_002/images/b.png"),
        ("restored", "a.png"),
        ("restored", "images_002/b.png"),
    }
    (reject,) = report.rejects
    assert (reject["file_name"], reject["reason"]) == ("images_002/c.png", "no_reference")
    sources = find_sources(study)
    listed = dict(
        reversed(line.split("  ", 1)) for line in (study.raw / SOURCES).read_text().splitlines()
    )
    assert listed == {name: hash_file(path) for name, path in sources.items()}
    assert "restored/alpha/notta/images_002/c.png" in listed
    assert ingest_study(study, workers=1).units_kept == 1


def test_hidden_files_and_what_desktops_leave_are_no_sources(study_folder):
    study_folder.add_model("alpha", paths=("notta",))
    study_folder.put("a.png", GREY)
    study_folder.put("a.png", GREY, "alpha")
    for name in (".restored.json", ".restoring.lock", ".DS_Store", "Thumbs.db", "desktop.ini"):
        study_folder.put(name, b"no image", "alpha")
    study = study_folder.load()
    assert not ingest_study(study, workers=1).rejects
    listed = {line.split("  ", 1)[1] for line in (study.raw / SOURCES).read_text().splitlines()}
    assert listed == set(find_sources(study)) == {"reference/a.png", "restored/alpha/notta/a.png"}
