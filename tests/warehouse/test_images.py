"""A study of DICOM references, a 16-bit PNG and an 8-bit one made of each, from end to end."""

import io

import cv2
import numpy as np
import pytest

from upscale_audit.warehouse.cli.main import main
from upscale_audit.warehouse.connect import open_warehouse

pydicom = pytest.importorskip("pydicom", reason="pip install 'upscale-audit[dicom]'")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian  # noqa: E402

pytestmark = pytest.mark.long

NUMBERS = range(1, 7)


def write_dicom(samples, patient):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = samples.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 2048, 3001
    dataset.PixelSpacing = [0.25, 0.5]
    dataset.PatientID = patient
    dataset.PixelData = samples.tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def deep(new_study_folder, tmp_path_factory):
    """Build the study, its figures included; give its folder and a connection."""
    folder = new_study_folder(tmp_path_factory.mktemp("deep") / "study")
    folder.add_model("bicubic", paths=("notta",))
    folder.add_model("plain", paths=("notta",))
    generator = np.random.default_rng(5)
    for number in NUMBERS:
        noise = generator.integers(0, 4096, (48, 64), np.uint16)
        samples = cv2.GaussianBlur(noise, (0, 0), 1.5)
        small = cv2.resize(samples, (32, 24), interpolation=cv2.INTER_CUBIC)
        large = cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC)
        folder.put(f"{number}.dcm", write_dicom(samples, f"00{(number + 1) // 2}"))
        folder.put(f"{number}.png", cv2.imencode(".png", large)[1].tobytes(), "bicubic")
        shown = 255 - np.rint(255 * np.clip((large - 547.5) / 3000, 0, 1)).astype(np.uint8)
        folder.put(f"{number}.png", shown, "plain")
    folder.load(parameters='window = "dicom"\n[lr]\nrule = "opencv_cubic"\nscale = 2')
    with pytest.raises(SystemExit) as ended:
        main(["run", str(folder.root / "study.toml")])
    assert ended.value.code == 0
    with open_warehouse(folder.root / "out" / "warehouse.duckdb") as connection:
        yield folder, connection


def ask(deep, sql):
    return deep[1].sql(sql).fetchall()


def test_each_file_says_how_it_was_shown(deep):
    rows = ask(deep, "select coalesce(model_id, role), window_rule, window_low, window_high,"
               " is_inverted, rescale_slope, bit_depth, row_spacing_mm, col_spacing_mm"
               " from dim_source_files where image_id = '1' order by 1")  # fmt: skip
    assert rows == [
        ("bicubic", "dicom_linear", 547.5, 3547.5, True, 1.0, 16, None, None),
        ("plain", None, None, None, None, None, 8, None, None),
        ("reference", "dicom_linear", 547.5, 3547.5, True, 1.0, 12, 0.25, 0.5),
    ]


def test_the_16_bit_file_and_the_8_bit_one_made_by_the_same_window_measure_alike(deep):
    measures = "image_id, block_row, block_col, d_mu_notta, local_ssim_notta, d_sharp_notta"
    bicubic, plain = (
        ask(deep, f"select {measures} from fct_blocks where model_id = '{name}' order by all")
        for name in ("bicubic", "plain")
    )
    assert len(bicubic) == len(NUMBERS) * 48
    assert bicubic == plain


def test_what_a_window_shows_is_not_held_against_an_lr_image_made_after_it(deep):
    rows = ask(deep, "select model_id, count(lr_judged_px_notta) from fct_blocks"
               " group by model_id order by model_id")  # fmt: skip
    assert rows[0] == ("bicubic", 0)
    assert rows[1][0] == "plain"
    assert rows[1][1] > 0


def test_patients_are_those_of_the_files(deep):
    rows = ask(deep, "select image_id, patient_id, cluster_id from dim_images order by image_id")
    assert rows == [(str(n), str((n + 1) // 2), f"patient:{(n + 1) // 2}") for n in NUMBERS]


def test_figures_and_maps_show_what_was_measured(deep):
    folder, _ = deep
    names = {path.name for path in (folder.root / "out" / "figures").rglob("*.png")}
    assert any(name.startswith("axis1_blockmap") for name in names)
    with pytest.raises(SystemExit) as ended:
        main(["map", str(folder.root / "study.toml"), "1", "bicubic"])
    assert ended.value.code == 0


def test_verify_finds_nothing_and_the_audit_follows_it_to_the_files(deep):
    folder, _ = deep
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(folder.root / "study.toml")])
    assert ended.value.code == 0


def test_a_study_of_odd_references_and_even_outputs_is_whole(new_study_folder, tmp_path_factory):
    folder = new_study_folder(tmp_path_factory.mktemp("cropped") / "study")
    for name in ("bicubic", "short"):
        folder.add_model(name)
    generator = np.random.default_rng(6)
    for number in NUMBERS:
        noise = generator.integers(0, 256, (49, 65), np.uint8)
        reference = cv2.GaussianBlur(noise, (0, 0), 1.5)
        folder.put(f"{number}.png", reference)
        restored = cv2.GaussianBlur(reference, (0, 0), 1)
        for path in ("notta", "tta"):
            folder.put(f"{number}.png", restored, "bicubic", path)
            folder.put(f"{number}.png", restored[:48, :64], "short", path)
    folder.load(parameters='[size]\nrule = "crop"')
    with pytest.raises(SystemExit) as ended:
        main(["run", str(folder.root / "study.toml")])
    assert ended.value.code == 0
    with open_warehouse(folder.root / "out" / "warehouse.duckdb") as connection:
        rows = connection.sql(
            "select model_id, count(*), count(local_ssim_notta), count(axis1_notta) from fct_blocks"
            " group by model_id order by model_id"
        ).fetchall()
        rules = connection.sql(
            "select distinct model_id, size_rule, height_px from dim_source_files order by 1 nulls"
            " first"
        ).fetchall()
        empty = connection.sql("select count(*) from fct_image_quality where ssim is null")
        assert empty.fetchall() == [(0,)]
    counts = (len(NUMBERS) * 63, len(NUMBERS) * 48, len(NUMBERS) * 48)
    assert rows == [("bicubic", *counts), ("short", *counts)]
    assert rules == [(None, None, 49), ("bicubic", None, 49), ("short", "crop", 48)]
