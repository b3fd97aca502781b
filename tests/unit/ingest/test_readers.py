"""[[readers]] of a study file: what is read, and how each mistake is named."""

import io
import zipfile

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.readers import (
    INTENSITIES,
    READER_KEYS,
    Intensity,
    ReaderDeclaration,
    find_format,
    is_torchscript,
    parse_findings,
    parse_intensity,
)
from upscale_audit.ingest.study import load_study

STUDY = """
[study]
name = "tiny"
references = "reference"

[[models]]
model_id = "alpha"
notta = "restored"
"""
READER = {
    "reader": '"densenet"',
    "file": '"reader.onnx"',
    "input_px": "224",
    "intensity": '"unit"',
    "findings": '["Atelectasis", "", "Mass"]',
    "score": '"probability"',
}


@pytest.fixture
def load(tmp_path):
    """Load a study with readers, each a table of TOML values by key."""
    for name in ("reference", "restored"):
        (tmp_path / name).mkdir()
    for name in ("reader.onnx", "own.safetensors", "old.pth"):
        (tmp_path / name).touch()

    def load_readers(*readers):
        tables = [
            "\n".join(["[[readers]]", *(f"{key} = {value}" for key, value in reader.items())])
            for reader in readers
        ]
        (tmp_path / "study.toml").write_text("\n".join([STUDY, *tables]) + "\n")
        return load_study(tmp_path / "study.toml").readers

    return load_readers


@pytest.fixture
def refuse(load):
    """Load a bad reader; returns the message, which names the file and is one line."""

    def message_of(*readers):
        with pytest.raises(StudyError) as caught:
            load(*readers)
        message = str(caught.value)
        assert message.count("study.toml") == 1
        assert "\n" not in message
        return message

    return message_of


def test_readers_are_read_in_the_order_of_their_names(load, tmp_path):
    sha256 = "0" * 64
    last = READER | {"reader": '"zeta"', "format": '"torchscript"', "sha256": f'"{sha256}"'}
    first, second = load(last, READER)
    assert first == ReaderDeclaration(
        reader="densenet",
        file=tmp_path.resolve() / "reader.onnx",
        format="onnx",
        input_px=224,
        intensity=Intensity("unit"),
        findings=("Atelectasis", "", "Mass"),
        score="probability",
    )
    assert (second.reader, second.format, second.sha256) == ("zeta", "torchscript", sha256)
    assert load() == ()


def test_a_network_of_this_project_says_itself_what_it_is(load):
    (reader,) = load({"reader": '"own"', "file": '"own.safetensors"'})
    assert (reader.format, reader.input_px, reader.intensity) == ("chestxray8", None, None)
    assert (reader.findings, reader.score) == ((), None)


@pytest.mark.parametrize("key", ["reader", "file", "input_px", "intensity", "findings", "score"])
def test_a_key_that_is_missing_is_named(refuse, key):
    message = refuse({name: value for name, value in READER.items() if name != key})
    assert f"[[readers]] number 1 lacks the key '{key}'" in message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("finding", "[]", "unknown key 'finding' in [[readers]] number 1; did you mean 'findings'"),
        ("reader", '"a/b"', "reader = 'a/b'; use up to 64 letters"),
        ("reader", "1", "reader = 1; expected a non-empty string"),
        ("file", '"none.onnx"', "file names no file"),
        ("file", '"reference"', "file names no file"),
        ("format", '"keras"', "format = 'keras'; expected onnx, torchscript, torchxrayvision, ch"),
        ("sha256", '"ABC"', "sha256 = 'ABC'; expected 64 lower-case hexadecimal digits"),
        ("sha256", "3", "sha256 = 3; expected 64"),
        ("input_px", "7", "input_px = 7; expected a whole number, 8 to 4096"),
        ("input_px", "224.0", "input_px = 224.0; expected a whole number"),
        ("input_px", "true", "input_px = True; expected a whole number"),
        ("intensity", '"zscore"', 'intensity = \'zscore\'; expected "unit" (0..1), "xrv"'),
        ("intensity", "{ mean = 0.5 }", "intensity = {'mean': 0.5}; expected"),
        ("intensity", "{ mean = 0.5, std = 0 }", "'std': 0}; expected"),
        ("intensity", "{ mean = [0, 0, 0], std = 1 }", "'std': 1}; expected"),
        ("intensity", "{ mean = nan, std = 1 }", "'mean': nan"),
        ("intensity", "{ mean = [0, 0], std = [1, 1] }", "[1, 1]}; expected"),
        ("findings", "[]", "findings names none; expected 1 to 1000 outputs, one named"),
        ("findings", '["", ""]', "findings names none"),
        ("findings", '["Mass", "Mass"]', "name 'Mass' twice; give each output a name of its own"),
        ("findings", '["Mass "]', "findings name 'Mass '; remove the space around it"),
        ("findings", '"Mass"', "findings = 'Mass'; expected a list of names in the order of the"),
        ("findings", "[1]", "findings = [1]; expected a list of names"),
        ("score", '"rank"', "score = 'rank'; expected probability or logit"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(refuse, key, value, message):
    assert message in refuse(READER | {key: value})


def test_names_that_differ_by_case_alone_are_declared_twice(refuse):
    message = refuse(READER, READER | {"reader": '"DenseNet"'})
    assert "[[readers]] number 2: reader 'DenseNet' is declared twice; rename one" in message


def test_readers_that_are_no_list_of_tables_are_refused(tmp_path, load):
    load()
    path = tmp_path / "study.toml"
    for text, message in (
        ("[readers]\nreader = 1\n", r"expected \[\[readers\]\] tables"),
        ("readers = [1]\n", "number 1: expected a table, found 1"),
    ):
        path.write_text(text + STUDY if "[r" not in text else STUDY + text)
        with pytest.raises(StudyError, match=message):
            load_study(path)


def test_the_format_is_found_by_the_suffix_or_by_what_lies_in_the_file(tmp_path):
    for name, expected in (
        ("a.onnx", "onnx"),
        ("a.ONNX", "onnx"),
        ("a.ts", "torchscript"),
        ("a.torchscript", "torchscript"),
        ("a.safetensors", "chestxray8"),
        ("a.pth", "torchxrayvision"),
        ("a.pt", "torchxrayvision"),
    ):
        (tmp_path / name).write_bytes(b"")
        assert find_format(tmp_path / name) == expected
    for member, expected in (("constants.pkl", "torchscript"), ("data.pkl", "torchxrayvision")):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"archive/{member}", b"")
        for name in ("b.pt", "b.pth"):
            (tmp_path / name).write_bytes(buffer.getvalue())
            assert find_format(tmp_path / name) == expected
            assert is_torchscript(tmp_path / name) == (expected == "torchscript")


def test_a_scaling_in_numbers_has_one_name_for_one_value():
    one = parse_intensity({"mean": 0.5, "std": 0.25})
    assert one == Intensity('{"mean":[0.5],"std":[0.25]}', (0.5,), (0.25,))
    assert parse_intensity({"std": [0.25], "mean": [0.5]}) == one
    assert parse_intensity("imagenet") is INTENSITIES["imagenet"]
    assert len(INTENSITIES["imagenet"].mean) == 3
    assert parse_findings(["a", "", "b"]) == ("a", "", "b")


def test_the_example_shows_every_key_of_a_reader(repository):
    text = (repository / "study.example.toml").read_text()
    part = text[text.index("# [[readers]]") : text.index("# [[published]]")]
    assert all(f"# {key} = " in part for key in READER_KEYS)
