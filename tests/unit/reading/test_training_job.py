import csv
import functools
import re

import cv2
import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.cli.main import main

torch = pytest.importorskip("torch", reason="pip install 'upscale-audit[readers]'")

from upscale_audit.reading import training_job  # noqa: E402
from upscale_audit.reading.chestxray8 import load_reader, read_metadata  # noqa: E402
from upscale_audit.reading.labelled import name_owner, prepare_images, read_labels  # noqa: E402
from upscale_audit.reading.splits import SPLITS, split_patient  # noqa: E402

PATIENTS = 48
TINY = ["--input-px", "32", "--epochs", "2", "--workers", "1", "--batch", "8"]


def write_study(folder, rows, labels="entries = 'labels.csv'"):
    """Write a study of 40 px images: a finding is a bright square, in the middle or at the top."""
    (folder / "reference").mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for image_id, _, findings in rows:
        image = generator.integers(60, 120, (48, 40)).astype(np.uint8)
        image[14:34, 10:30] += np.uint8(100 * ("Mass" in findings))
        cv2.imwrite(str(folder / "reference" / f"{image_id}.png"), image)
    text = "image,patient,findings\n" + "".join(f"{','.join(row)}\n" for row in rows)
    (folder / "labels.csv").write_text(text)
    (folder / "study.toml").write_text(
        "[study]\nname = 'small'\nreferences = 'reference'\noutput = 'out'\n"
        + (f"[labels]\n{labels}\n" if labels else "")
    )
    return folder / "study.toml"


def list_rows(patients=PATIENTS, rare=("Hernia",)):
    """Two images a patient; every other patient has a mass, one has what is rare."""
    rows = []
    for patient in range(patients):
        for image in "ab":
            findings = ["Mass"] * (patient % 2) + ["Nodule"] * (patient % 3 == 0)
            findings += list(rare) * (patient == 5)
            rows.append(
                (f"p{patient:02d}{image}", f"q{patient}", "|".join(findings) or "No Finding")
            )
    return rows


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Train a narrow network: what is tested here lies round it."""
    settings = functools.partial(training_job.ReaderSettings, width=4)
    monkeypatch.setattr(training_job, "ReaderSettings", settings)


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path, list_rows())


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["reader", "train", *map(str, arguments)])
    return end.value.code


def read_csv(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_study_becomes_a_reader_and_its_record(study, tmp_path, capsys):
    out = tmp_path / "made" / "reader.safetensors"
    assert run(study, "--out", out, *TINY) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(
        r"left out 'Hernia': \d images? with it in the \w+ split; expected 2", said.err
    )
    last = said.err.strip().splitlines()[-1]
    assert re.fullmatch(
        rf"wrote {out}: 2 findings, epoch [12] of 2; mean AUC [01]\.\d+ on \d+ test images, each"
        r" with its interval in reader.findings.csv",
        last,
    )
    reader, metadata = load_reader(out), read_metadata(out)
    assert reader.findings == ("Mass", "Nodule")
    assert reader.input_px == 32
    assert metadata["training"]["parameters"]["seed"] == 0
    curve = read_csv(out.with_suffix(".curve.csv"))
    assert [row["epoch"] for row in curve] == ["1", "2"]
    assert [row["is_kept"] for row in curve].count("True") == 1
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "reader.curve.csv", "reader.findings.csv", "reader.safetensors",
    ]  # fmt: skip


def test_the_record_counts_whole_patients_as_they_are_dealt(study, tmp_path):
    out = tmp_path / "reader.safetensors"
    assert run(study, "--out", out, *TINY, "--seed", 3, "--findings", "Nodule") == 0
    rows = read_csv(out.with_suffix(".findings.csv"))
    assert [row["split"] for row in rows] == list(SPLITS)
    dealt = {n: split_patient(f"patient:q{n}", 3) for n in range(PATIENTS)}
    for row in rows:
        members = [n for n in dealt if dealt[n] == row["split"]]
        assert int(row["patients"]) == len(members)
        assert int(row["images"]) == 2 * len(members)
        assert int(row["positives"]) == 2 * sum(n % 3 == 0 for n in members)
        assert (row["auc"] == "") == (row["split"] == "train")
    assert [row["images"] for row in rows] == [
        str(item["images"]) for item in read_metadata(out)["training"]["counts"]
    ]


def test_the_same_study_gives_the_same_files(study, tmp_path):
    for name in ("first", "second"):
        workers = "1" if name == "first" else "2"
        assert (
            run(study, "--out", tmp_path / f"{name}.safetensors", *TINY, "--workers", workers) == 0
        )
    for suffix in (".safetensors", ".curve.csv", ".findings.csv"):
        first, second = (tmp_path / f"{name}{suffix}" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_published_weights_are_begun_with_and_named_by_their_hash(study, tmp_path):
    from upscale_audit.reading.chestxray8_network import ResidualTrunk

    weights, out = tmp_path / "resnet18.pth", tmp_path / "reader.safetensors"
    state = ResidualTrunk(18, 4).state_dict()
    state["conv1.weight"] = torch.rand(4, 3, 7, 7) / 100
    torch.save(state, weights)
    more = ["--trunk-weights", weights, "--learning-rate", "1e-12"]
    assert run(study, "--out", out, *TINY, *more) == 0
    kept = load_reader(out)._network.trunk.conv1.weight
    assert torch.allclose(kept, state["conv1.weight"].sum(1, keepdim=True), atol=1e-6)
    assert re.fullmatch("[0-9a-f]{64}", read_metadata(out)["training"]["trunk_weights_sha256"])


class Malicious:
    def __reduce__(self):
        return (open, ("executed", "w"))


def test_weights_that_would_run_code_are_refused_unrun(study, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Malicious()}, tmp_path / "bad.pth")
    assert run(study, "--out", "reader.safetensors", *TINY, "--trunk-weights", "bad.pth") == 1
    assert "bad.pth is no file of weights" in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")  # an error here, a warning for users
def test_a_program_named_as_weights_is_refused_in_a_line_without_pytorchs_advice(
    study, tmp_path, capsys, script
):
    weights = tmp_path / "program.pth"
    weights.write_bytes(script(torch.nn.ReLU()))
    out = tmp_path / "reader.safetensors"
    assert run(study, "--out", out, *TINY, "--trunk-weights", weights) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "program.pth is no file of weights" in said
    assert "weights_only` set to `False`" not in said


@pytest.mark.parametrize("name", ["reader.safetensors", "reader.curve.csv", "reader.findings.csv"])
def test_what_is_there_already_is_kept(study, tmp_path, capsys, name):
    (tmp_path / name).write_text("mine")
    assert run(study, "--out", tmp_path / "reader.safetensors", *TINY) == 1
    assert f"{name} exists already: move it, or name another --out" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--findings", "Massif"], "'Massif': no label of .* names it; did you mean 'Mass'?"),
        (["--findings", "Mass", "Mass"], "--findings names 'Mass' twice"),
        (["--findings", "Hernia"], "no finding can be trained, 'Hernia' for one has"),
        (["--r", "0"], "r = 0.0; expected a number above 0"),
        (["--input-px", "31"], "--input-px 31; expected 32..4096"),
        (["--batch", "1"], r"batch_size = 1; expected 2\.\."),
        (["--trunk-weights", "nothing.pth"], "nothing.pth is no file of weights: FileNotFound"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_line(study, tmp_path, capsys, more, message):
    out = tmp_path / "reader.safetensors"
    assert run(study, "--out", out, *TINY, *more) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.glob("*reader*"))


def test_one_patient_alone_is_refused(tmp_path, capsys):
    rows = [(f"i{number}", "q1", "Mass" if number % 2 else "Nodule") for number in range(6)]
    study = write_study(tmp_path, rows)
    assert run(study, "--out", tmp_path / "reader.safetensors", *TINY) == 1
    assert "6 labelled images of 1 patient; training, validating" in capsys.readouterr().err


def test_too_few_patients_for_a_split_are_refused(tmp_path, capsys):
    study = write_study(tmp_path, list_rows(patients=4))
    assert run(study, "--out", tmp_path / "reader.safetensors", *TINY) == 1
    assert re.search("none of 4 patients is dealt to the", capsys.readouterr().err)


@pytest.mark.parametrize("labels", ["", "boxes = 'labels.csv'"])
def test_a_study_without_labels_is_refused(tmp_path, capsys, labels):
    study = write_study(tmp_path, list_rows(4), labels)
    assert run(study, "--out", tmp_path / "reader.safetensors", *TINY) == 1
    assert "names no labels: expected entries or patients in [labels]" in capsys.readouterr().err


def test_labels_that_name_no_finding_are_refused(tmp_path, capsys):
    study = write_study(tmp_path, [(f"i{n}", f"q{n}", "No Finding") for n in range(9)])
    assert run(study, "--out", tmp_path / "reader.safetensors", *TINY) == 1
    assert "the labels name no finding of any reference" in capsys.readouterr().err


def test_images_that_are_refused_or_unlabelled_are_left_out_and_counted(study, tmp_path, capsys):
    (tmp_path / "reference" / "p00a.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "reference" / "unknown.png"), np.zeros((40, 40), np.uint8))
    out = tmp_path / "reader.safetensors"
    assert run(study, "--out", out, *TINY) == 3
    said = capsys.readouterr().err
    assert "not read: 'p00a', " in said
    assert "left out: 1 reference that no label speaks of" in said
    counts = read_metadata(out)["training"]["counts"]
    assert sum(row["images"] for row in counts if row["finding"] == "Mass") == 2 * PATIENTS - 1


def test_images_are_prepared_as_a_reader_is_given_them(study, tmp_path):
    parsed = load_study(study, needs_models=False)
    labelled = read_labels(parsed)
    prepared = prepare_images(parsed, labelled, 20, tmp_path / "images", workers=2)
    assert labelled.findings == ("Hernia", "Mass", "Nodule")
    assert len(prepared.pixels) == 2 * PATIENTS
    for number in (0, 7):
        name = f"{labelled.image_ids[number]}.png"
        grey = cv2.imread(str(tmp_path / "reference" / name), cv2.IMREAD_GRAYSCALE)
        # 48 x 40 px: the middle square, of which each pixel is the mean of four.
        means = grey[4:44].reshape(20, 2, 20, 2).mean(axis=(1, 3))
        assert abs(prepared.pixels[number] - means).max() <= 0.5
    assert prepared.patients[:3] == ("patient:q0", "patient:q0", "patient:q1")


def test_whose_an_image_is_without_a_stated_patient():
    assert name_owner("00000013_004", None) == "patient:13"
    assert name_owner("00000013_004", "12") == "patient:12"
    assert name_owner("chest", None) == "image:chest"


def test_labels_of_chestxray8_are_read_as_ingest_reads_them(tmp_path):
    names = [f"{patient:08d}_{image:03d}" for patient in (1, 2) for image in (0, 1)]
    study = write_study(tmp_path, [(name, "", "") for name in names])
    entries = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
               "View Position"]  # fmt: skip
    found = ("Mass|Effusion", "No Finding", "Infiltrate", "Mass")
    entries += [
        f"{name}.png,{finding},0,{int(name[:8])},60,F,PA"
        for name, finding in zip(names, found, strict=True)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(entries) + "\n")
    labelled = read_labels(load_study(study, needs_models=False), ("Mass", "Infiltration"))
    assert labelled.findings == ("Mass", "Infiltration")
    assert labelled.labels.tolist() == [[True, False], [False, False], [False, True], [True, False]]
    assert labelled.patients == ("1", "1", "2", "2")


def test_a_study_without_references_is_refused(tmp_path):
    path = tmp_path / "study.toml"
    (tmp_path / "results.csv").write_text("a\n")
    path.write_text(
        "[study]\nname = 'published'\n[[published]]\nfile = 'results.csv'\nlabel = 'one'\n"
    )
    with pytest.raises(StudyError, match="names no images"):
        read_labels(load_study(path, needs_models=False))
