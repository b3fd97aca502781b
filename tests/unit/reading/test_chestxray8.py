import json
import os
import subprocess
import sys

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError

torch = pytest.importorskip("torch", reason="pip install 'upscale-audit[readers]'")

from upscale_audit.reading.chestxray8 import (  # noqa: E402
    load_reader,
    read_metadata,
    save_reader,
)
from upscale_audit.reading.chestxray8_network import (  # noqa: E402
    ChestXray8Network,
    NetworkDesign,
)

WORDS = {
    "findings": ("Mass", "Nodule"),
    "input_px": 64,
    "training": {"seed": 3, "counts": [{"finding": "Mass", "positives": 4}]},
    "version": "0.1.0",
}


def make_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ChestXray8Network(NetworkDesign(18, "lse", 10.0, 2, 4)).eval()
        torch.nn.init.normal_(network.prediction.weight)
        return network


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "reader.safetensors"
    save_reader(path, make_network(), WORDS)
    return path


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 64, 64)).astype(np.float32)


def rewrite(path, change):
    """Change the words of a file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def test_a_file_says_what_a_study_would_have_to(file):
    said = read_metadata(file)
    assert said["findings"] == ["Mass", "Nodule"]
    assert (said["input_px"], said["score"]) == (64, "probability")
    assert said["intensity"] == {"mean": 0.449, "std": 0.226}
    assert (said["trunk"], said["pooling"], said["r"], said["width"]) == (18, "lse", 10.0, 4)
    assert said["training"] == WORDS["training"]
    assert said["version"] == "0.1.0"


def test_a_reader_gives_what_the_network_gave(file, images):
    network, reader = make_network(), load_reader(file)
    scores, maps = reader.read(images)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).double().sigmoid().numpy()
        features = network.find_maps(torch.from_numpy(images)).numpy()
    assert scores.dtype == np.float64
    assert scores == pytest.approx(expected, abs=1e-6)
    weights = network.prediction.weight.detach().numpy()
    drawn = [[(row[:, None, None] * item).sum(0) for row in weights] for item in features]
    assert maps == pytest.approx(np.array(drawn), abs=1e-4)
    assert (reader.findings, reader.input_px, reader.has_maps) == (("Mass", "Nodule"), 64, True)
    assert reader.library == f"torch {torch.__version__}"


def test_levels_are_scaled_as_the_file_says(file, images):
    reader = load_reader(file)
    seen = []
    reader._network.trunk.conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    reader.read(images[:1])
    assert seen[0][0, 0].numpy() == pytest.approx((images[0] / 255 - 0.449) / 0.226, abs=1e-5)


def test_no_value_depends_on_the_images_beside_it(file, images):
    reader = load_reader(file)
    together = reader.read(images)
    for number in range(3):
        alone = reader.read(images[number : number + 1])
        assert np.array_equal(alone[0][0], together[0][number])
        assert np.array_equal(alone[1][0], together[1][number])


def test_no_image_gives_no_score(file):
    scores, maps = load_reader(file).read(np.empty((0, 64, 64), np.float32))
    assert (scores.shape, maps.shape) == ((0, 2), (0, 2, 2, 2))


def test_half_precision_is_half_as_large_and_reads_alike(tmp_path, file, images):
    path = tmp_path / "half.safetensors"
    save_reader(path, make_network(), WORDS, is_half=True)
    assert path.stat().st_size < 0.65 * file.stat().st_size
    full, half = (load_reader(item).read(images)[0] for item in (file, path))
    assert half == pytest.approx(full, abs=0.01)


def test_the_same_network_gives_the_same_bytes_in_every_process(tmp_path, file):
    code = (
        "from tests.unit.reading.test_chestxray8 import WORDS, make_network, save_reader\n"
        f"save_reader({str(tmp_path / 'again.safetensors')!r}, make_network(), WORDS)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ, timeout=600)
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_bytes_that_were_read_already_are_what_is_loaded(tmp_path, file, images):
    loaded = load_reader(tmp_path / "gone.safetensors", data=file.read_bytes())
    assert np.array_equal(loaded.read(images)[0], load_reader(file).read(images)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda words: words.pop("findings"), "its metadata lacks 'findings'"),
        (lambda words: words.update(format='"other"'), "its format is 'other', expected"),
        (lambda words: words.update(findings='["Mass", "Mass"]'), "named twice"),
        (lambda words: words.update(findings="["), "is no reader"),
        (lambda words: words.update(input_px="31"), "its input_px is 31, expected 32..4096"),
        (lambda words: words.update(score='"logit"'), "its score is 'logit'"),
        (lambda words: words.update(trunk="101"), "trunk = 101; expected"),
        (lambda words: words.update(r="NaN"), "NaN is no JSON number"),
        (lambda words: words.update(findings='["Mass"]'), "expected prediction.weight of shape"),
        (lambda words: words.update(width="8"), "expected trunk.conv1.weight of shape"),
    ],
)
def test_a_file_that_says_otherwise_is_refused_in_a_line(file, change, message):
    rewrite(file, change)
    with pytest.raises(StudyError) as error:
        load_reader(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize("data", [b"", b"PK\3\4 something else", b"\xff" * 100])
def test_what_is_no_safetensors_file_is_refused(tmp_path, data):
    path = tmp_path / "reader.safetensors"
    path.write_bytes(data)
    for read in (read_metadata, load_reader):
        with pytest.raises(StudyError, match="is no reader of this project's own network"):
            read(path)


def test_a_file_that_is_cut_or_not_there_is_refused(tmp_path, file):
    file.write_bytes(file.read_bytes()[:-100])
    for path in (file, tmp_path / "nothing.safetensors"):
        with pytest.raises(StudyError, match="is no reader of this project's own network"):
            load_reader(path)


def test_weights_that_are_no_number_are_refused(tmp_path):
    network = make_network()
    network.prediction.bias.data[0] = float("nan")
    path = tmp_path / "reader.safetensors"
    save_reader(path, network, WORDS)
    with pytest.raises(StudyError, match=r"prediction\.bias .* found values that are not finite"):
        load_reader(path)


def test_images_of_another_size_and_scores_that_are_no_number_are_refused(file, images):
    reader = load_reader(file)
    with pytest.raises(StudyError, match="expected images of 64 x 64 px"):
        reader.read(images[:, :32])
    with pytest.raises(StudyError, match="a score of this reader is not a number"):
        reader.read(np.full((1, 64, 64), np.nan, np.float32))
