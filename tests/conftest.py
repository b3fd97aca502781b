"""Fixtures every test may use: the sample study, a small study to order, the shared data."""

import fcntl
import hashlib
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests import privileges
from upscale_audit.ingest.study import load_study

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    """Add --no-skips, with which CI lets no test stay away for want of a program, and --long."""
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail if a test is skipped, but for want of radiographs that may not be shipped",
    )
    parser.addoption(
        "--long",
        action="store_true",
        help="run the tests marked long too, as do files or tests named on the command line",
    )


def pytest_configure(config):
    """Let what is named run; keep what dbt parses beside what pytest keeps, for the next run."""
    # Processes of a run are handed its options: only the first knows what its user named.
    config.option.long |= config.args_source is pytest.Config.ArgsSource.ARGS
    os.environ["XDG_CACHE_HOME"] = str(config.rootpath / ".pytest_cache")


def pytest_collection_modifyitems(config, items):
    """Leave the long tests out of a run of everything, unless it is to have them."""
    if config.getoption("--long"):
        return
    left = [item for item in items if item.get_closest_marker("long")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail a run under --no-skips in which a test was skipped that could run."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not config.getoption("--no-skips") or reporter is None:
        return
    skipped = [
        report
        for report in reporter.stats.get("skipped", [])
        if "shared_data" not in report.keywords
    ]
    for report in skipped:
        reporter.write_line(f"skipped under --no-skips: {report.nodeid}", red=True)
    if skipped and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def bound_by_permissions():
    """Let file permissions bind the test, also where root runs it."""
    with privileges.bound_by_permissions():
        yield


class StudyFolder:
    """A study on disk that a test can fill, change and read back.

    Parameters
    ----------
    root : Path
        Receives ``reference/``, ``restored/<model>/<path>/``, ``study.toml`` and ``out/``.
    """

    def __init__(self, root):
        self.root = root
        self.models = {}
        (root / "reference").mkdir(parents=True)

    def add_model(self, model_id, paths=("notta", "tta")):
        """Declare a model with a folder for each of its inference paths."""
        self.models[model_id] = paths
        for inference_path in paths:
            self.folder(model_id, inference_path).mkdir(parents=True)

    def folder(self, model_id=None, inference_path=None):
        """Folder of the references, or of one model's restored images."""
        if model_id is None:
            return self.root / "reference"
        return self.root / "restored" / model_id / inference_path

    def put(self, name, content, model_id=None, inference_path="notta"):
        """Write a file: an array becomes a PNG, bytes are written as they are."""
        data = content if isinstance(content, bytes) else encode_png(content)
        path = self.folder(model_id, inference_path) / name
        path.write_bytes(data)
        return path

    def add_image(self, image_id, shape=(16, 24), suffix="x"):
        """Add a reference and a noisy restored image for each model and path."""
        seed = int.from_bytes(hashlib.sha256(f"{image_id}{suffix}".encode()).digest()[:4], "big")
        generator = np.random.default_rng(seed)
        reference = generator.integers(0, 256, shape, np.uint8)
        self.put(f"{image_id}.png", reference)
        for model_id, paths in self.models.items():
            for inference_path in paths:
                noise = generator.integers(-9, 10, shape)
                restored = np.clip(reference + noise, 0, 255).astype(np.uint8)
                self.put(f"{image_id}.png", restored, model_id, inference_path)

    def load(self, output="out", models=None, pairing="exact", labels="", parameters="", sfrc=()):
        """Write ``study.toml`` and parse it."""
        lines = ["[study]", 'name = "tiny"', 'references = "reference"']
        lines += [f'output = "{output}"', f'pairing = "{pairing}"', f"sfrc = {[*sfrc]}"]
        for model_id in models or self.models:
            lines += ["[[models]]", f'model_id = "{model_id}"']
            for inference_path in self.models[model_id]:
                folder = self.folder(model_id, inference_path)
                lines.append(f'{inference_path} = "{folder.relative_to(self.root)}"')
        text = "\n".join([*lines, "[labels]", labels, "[parameters]", parameters])
        (self.root / "study.toml").write_text(text + "\n", encoding="utf-8")
        return load_study(self.root / "study.toml")


def encode_png(array, **options):
    """Encode an array, or a Pillow image, as PNG bytes."""
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Give a function that makes a folder once for all processes of a run, to each a copy."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def get(name, make):
        made, whole = shared / f"made_{name}", shared / f"made_{name}.whole"
        with open(shared / f"made_{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(made, ignore_errors=True)
                made.mkdir()
                make(made)
                whole.touch()
        return shutil.copytree(made, tmp_path_factory.mktemp(name) / name)

    return get


@pytest.fixture(scope="session", name="encode_png")
def encode_png_fixture():
    """Give the PNG encoder: arrays or Pillow images to bytes."""
    return encode_png


@pytest.fixture(scope="session")
def repository():
    """Give the root of the working tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def sample_study_file(repository):
    """Give the study that ships with the project: six crops, five restorers."""
    return repository / "sample" / "study.toml"


@pytest.fixture(scope="session")
def sample_pairs(sample_study_file):
    """Give three reference and restored crops of the sample, 512x512 uint8, by model."""
    folder = sample_study_file.parent
    names = {"bicubic": "rg1_r0c0", "upscayl_digital": "rg1_r1c1", "span_x2_ch48": "rg1_r2c0"}
    return {
        model_id: (
            np.asarray(Image.open(folder / "reference" / f"{name}.png")),
            np.asarray(Image.open(folder / "restored" / model_id / "notta" / f"{name}.png")),
        )
        for model_id, name in names.items()
    }


@pytest.fixture
def study_folder(tmp_path):
    """Give an empty study to fill."""
    return StudyFolder(tmp_path / "study")


@pytest.fixture(scope="session")
def new_study_folder():
    """Give the class of `study_folder`, for studies that a whole module shares."""
    return StudyFolder


@pytest.fixture
def tiny_study(study_folder):
    """Give a study of three images under alpha (both paths) and beta (notta only)."""
    study_folder.add_model("alpha")
    study_folder.add_model("beta", paths=("notta",))
    for image_id in ("a", "b", "c"):
        study_folder.add_image(image_id)
    return study_folder


@pytest.fixture(scope="session")
def read_tree():
    """Give a reader of a folder: relative name to bytes, every file."""

    def read(folder):
        files = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read


@pytest.fixture(scope="session")
def read_rows():
    """Give a reader of a raw table's rows; block rows of all models in shard order."""

    def read(raw, table):
        rows = []
        for path in sorted((raw / table).rglob("*.parquet")):
            for row in pq.ParquetFile(path).read().to_pylist():
                model = path.parent.name.removeprefix("model_id=")
                rows.append({"model_id": model} | row if table == "blocks" else row)
        return rows

    return read


@pytest.fixture(scope="session")
def shared_data(repository):
    """Give the folder of radiographs that may not be part of the project, or skip."""
    given = os.environ.get("UPSCALE_AUDIT_SHARED_DATA")
    folder = Path(given) if given else repository.parent / "shared" / "data"
    if not (folder / "nih").is_dir():
        pytest.skip(f"no nih/ in {folder}; UPSCALE_AUDIT_SHARED_DATA names the folder")
    return folder
