"""DICOM: shown as pydicom shows its own test files, and nothing that is no single grey frame."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest

from upscale_audit.ingest import dicom
from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.images import REJECT_CODES, decode_image
from upscale_audit.ingest.memory import peek_size
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.stated_window import Window
from upscale_audit.ingest.windows import Display

pydicom = pytest.importorskip("pydicom", reason="pip install 'upscale-audit[dicom]'")

from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.pixels import apply_modality_lut, apply_voi_lut  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, RLELossless  # noqa: E402

DICOM = Display(Window("dicom"))
DEEP = np.random.default_rng(8).integers(0, 4096, (24, 40), np.uint16)


def own_file(name):
    """One of the files that pydicom's package holds; others it would download."""
    return get_testdata_file(name, download=False)


def decode(data, display=DICOM, suffix=".dcm"):
    return decode_image(data, suffix, 1 << 26, "reduce", display)


def make(samples=DEEP, bits=12, **more):
    """Write a DICOM file of one grey frame."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = samples.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * samples.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(samples.dtype.kind == "i")
    for name, value in more.items():
        setattr(dataset, name, value)
    dataset.PixelData = samples.tobytes() + b"\0" * (samples.nbytes % 2)
    return dataset


def pack(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def shown_by_pydicom(dataset):
    """Grey by pydicom's modality and VOI LUTs, its output range stretched to 0..255."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = apply_modality_lut(dataset.pixel_array, dataset)
        out = apply_voi_lut(values, dataset).astype(np.float64)
    bits = dataset.BitsStored
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if dataset.PixelRepresentation == 0:
        low, high = 0, 2**bits - 1
    if "ModalityLUTSequence" in dataset:
        low, high = 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    elif "RescaleSlope" in dataset:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        low, high = low * slope + intercept, high * slope + intercept
    if "VOILUTSequence" in dataset:
        low, high = 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    grey = np.rint((out - low) / (high - low) * 255)
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def differ_by_a_tie_at_most(found, wanted):
    """Whether grey values agree, but for a few halves that fell to the other side."""
    gap = np.abs(found.astype(int) - wanted)
    return gap.max() <= 1 and (gap > 0).mean() < 0.002


@pytest.mark.parametrize(
    "name",
    ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm",
     "MR_small_implicit.dcm", "examples_overlay.dcm"],
)  # fmt: skip
def test_pydicoms_own_files_are_shown_as_it_shows_them(name):
    path = own_file(name)
    image = decode(Path(path).read_bytes())
    dataset = pydicom.dcmread(path)
    np.testing.assert_array_equal(image.grey, shown_by_pydicom(dataset))
    assert image.facts.window_rule == "dicom_linear"
    assert image.facts.row_spacing_mm == float(dataset.PixelSpacing[0])
    assert image.facts.bit_depth == dataset.BitsStored
    assert image.patient_id == dataset.PatientID


def test_a_file_that_is_a_tiff_too_is_read_as_its_suffix_says():
    data = Path(own_file("CT_small.dcm")).read_bytes()
    assert data[:4] == b"II*\0"
    image = decode(data, Display(Window("fixed", -1024, 3071)))
    dataset = pydicom.dcmread(own_file("CT_small.dcm"))
    values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    wanted = np.rint(255 * np.clip((values + 1024) / 4095, 0, 1))
    np.testing.assert_array_equal(image.grey, wanted)
    assert image.facts.padding_px == (dataset.pixel_array == dataset.PixelPaddingValue).sum()


FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("mode", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("rescale", [(1, 0), (2.5, -700), (0.25, 100)])
@pytest.mark.parametrize("is_signed", [False, True])
def test_every_window_is_pydicoms(function, mode, rescale, is_signed):
    samples = (DEEP.astype(np.int16) - 2048) if is_signed else DEEP
    dataset = make(samples, PhotometricInterpretation=mode, VOILUTFunction=function,
                   WindowCenter=rescale[0] * 900 + rescale[1], WindowWidth=1111,
                   RescaleSlope=rescale[0], RescaleIntercept=rescale[1])  # fmt: skip
    image = decode(pack(dataset))
    assert differ_by_a_tie_at_most(image.grey, shown_by_pydicom(dataset))
    assert image.facts.window_rule == f"dicom_{function.lower()}"
    assert image.facts.is_inverted == (mode == "MONOCHROME1")
    assert (image.facts.rescale_slope, image.facts.rescale_intercept) == rescale


def make_table(first, bits, count=512):
    item = Dataset()
    entries = np.sort(np.random.default_rng(5).integers(0, 2**bits, count))
    item.LUTDescriptor = [count, first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = [int(entry) for entry in entries]
    item["LUTData"].VR = "US"
    return Sequence([item])


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_a_voi_table_is_pydicoms_and_goes_before_a_window(bits):
    table = make_table(1500, bits)
    dataset = make(VOILUTSequence=table, WindowCenter=900, WindowWidth=10)
    image = decode(pack(dataset))
    np.testing.assert_array_equal(image.grey, shown_by_pydicom(dataset))
    facts = image.facts
    assert (facts.window_rule, facts.window_low, facts.window_high) == ("dicom_table", 1500, 2011)


def test_a_voi_table_of_8_bits_is_looked_up():
    table = make_table(1500, 8)  # pydicom counts its places in 8 bits
    image = decode(pack(make(VOILUTSequence=table)))
    entries = np.array(table[0].LUTData)
    wanted = [[entries[min(max(int(value) - 1500, 0), 511)] for value in row] for row in DEEP]
    np.testing.assert_array_equal(image.grey, wanted)


def test_a_modality_table_is_pydicoms():
    dataset = make(ModalityLUTSequence=make_table(1000, 16, 1024), WindowCenter=30000,
                   WindowWidth=40000)  # fmt: skip
    image = decode(pack(dataset))
    assert differ_by_a_tie_at_most(image.grey, shown_by_pydicom(dataset))
    assert image.facts.rescale_slope is None


def test_percentiles_leave_padding_out():
    samples = DEEP.copy()
    samples[:, :9] = 4095
    dataset = make(samples, PixelPaddingValue=4095, RescaleSlope=2, RescaleIntercept=-5)
    image = decode(pack(dataset), Display(Window("percentiles", 10, 90)))
    wanted = np.percentile(samples[samples != 4095], [10, 90], method="inverted_cdf") * 2 - 5
    assert [image.facts.window_low, image.facts.window_high] == list(wanted)
    assert image.facts.padding_px == (samples == 4095).sum()
    ranged = make(samples, PixelPaddingValue=4000, PixelPaddingRangeLimit=4095)
    assert (
        decode(pack(ranged), Display(Window("fixed", 0, 1))).facts.padding_px
        == (samples >= 4000).sum()
    )


@pytest.mark.parametrize(
    "more",
    [
        {"RescaleSlope": 1e300, "RescaleIntercept": 0},
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"RescaleSlope": 1, "RescaleIntercept": -1e300},
        {"WindowCenter": 1e300, "WindowWidth": 5},
        {"WindowCenter": 5, "WindowWidth": 1e300},
        {"WindowCenter": 5, "WindowWidth": 0},
        {"WindowCenter": 5, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
    ],
)
def test_impossible_values_are_refused(more):
    with pytest.raises(RejectedFileError) as caught:
        decode(pack(make(**{"WindowCenter": 5, "WindowWidth": 9} | more)))
    assert caught.value.code == "undecodable"


def test_a_window_narrower_than_any_value_is_a_step():
    dataset = make(WindowCenter=2000, WindowWidth=1e-200, VOILUTFunction="LINEAR_EXACT")
    grey = decode(pack(dataset)).grey
    np.testing.assert_array_equal(grey, np.where(DEEP > 2000, 255, 0))


def test_bits_beside_the_stored_ones_are_no_grey_value():
    dataset = make(DEEP | 0xF000)
    wanted = decode(pack(make()), Display(Window("fixed", 0, 4095))).grey
    np.testing.assert_array_equal(
        decode(pack(dataset), Display(Window("fixed", 0, 4095))).grey, wanted
    )
    shifted = make(DEEP << 4, HighBit=15)
    np.testing.assert_array_equal(
        decode(pack(shifted), Display(Window("fixed", 0, 4095))).grey, wanted
    )


def test_8_bits_that_mean_what_they_say_need_no_window():
    grey = (DEEP >> 4).astype(np.uint8)
    plain = decode(pack(make(grey, 8)), Display())
    np.testing.assert_array_equal(plain.grey, grey)
    inverse = decode(pack(make(grey, 8, PhotometricInterpretation="MONOCHROME1")), Display())
    np.testing.assert_array_equal(inverse.grey, 255 - grey)
    for dataset in (make(grey, 8, RescaleSlope=2, RescaleIntercept=0), make()):
        with pytest.raises(RejectedFileError, match="state window") as caught:
            decode(pack(dataset), Display())
        assert caught.value.code == "bit_depth"


def test_a_16_bit_file_is_read_as_stored_values_of_its_dicom_reference():
    import cv2

    dataset = make(PhotometricInterpretation="MONOCHROME1", WindowCenter=100, WindowWidth=900,
                   RescaleSlope=0.5, RescaleIntercept=-200)  # fmt: skip
    reference = decode(pack(dataset))
    bare = decode(cv2.imencode(".png", DEEP)[1].tobytes(), reference.display, ".png")
    np.testing.assert_array_equal(bare.grey, reference.grey)
    assert bare.facts.is_inverted
    own = make((DEEP >> 1), RescaleSlope=1, RescaleIntercept=-200)  # the same values, otherwise
    other = decode(pack(own), reference.display)
    gap = np.abs(other.grey.astype(int) - (255 - reference.grey.astype(int)))
    assert gap.max() <= 1  # half a stored value


REFUSED = {
    "SC_rgb_rle_2frame.dcm": ("several_pictures", "2 frames"),
    "examples_ybr_color.dcm": ("several_pictures", "30 frames"),
    "examples_rgb_color.dcm": ("colour_mode", "RGB of 3 samples"),
    "examples_palette.dcm": ("colour_mode", "PALETTE COLOR"),
    "JPEG-lossy.dcm": ("compression", "JPEG Extended"),
    "JPEG2000.dcm": ("compression", "JPEG 2000"),
    "MR_small_jpeg_ls_lossless.dcm": ("compression", "JPEG-LS"),
    "image_dfl.dcm": ("compression", "Deflated"),
    "liver_1frame.dcm": ("bit_depth", "1 bits"),
    "rtdose_1frame.dcm": ("bit_depth", "32 bits"),
    "MR_truncated.dcm": ("truncated", "8130 bytes where 8192"),
    "MR_small_padded.dcm": ("undecodable", "8320 bytes where 8192"),
    "CT_small.dcm": ("no_window", "no VOI LUT"),
    "rtplan.dcm": ("undecodable", "no Rows"),
    "no_meta.dcm": ("not_an_image", "starts with"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_by_name(name):
    code, words = REFUSED[name]
    with pytest.raises(RejectedFileError, match=words) as caught:
        decode(Path(own_file(name)).read_bytes())
    assert caught.value.code == code


def test_no_file_of_pydicoms_is_read_otherwise_than_by_it():
    counts = {"read": 0, "refused": 0}
    for path in sorted(Path(pydicom.data.__file__).parent.glob("test_files/*.dcm")):
        data = path.read_bytes()
        try:
            image = decode(data)
        except RejectedFileError:
            counts["refused"] += 1
            continue
        counts["read"] += 1
        np.testing.assert_array_equal(image.grey, shown_by_pydicom(pydicom.dcmread(path)))
    assert counts["read"] >= 6
    assert counts["refused"] >= 40


def test_no_mutant_ends_in_anything_but_pixels_or_a_reason():
    generator = np.random.default_rng(4)
    seeds = [pack(make(WindowCenter=900, WindowWidth=700, PixelPaddingValue=3))]
    seeds.append(Path(own_file("MR_small_RLE.dcm")).read_bytes())
    outcomes = {"read": 0, "refused": 0}
    for seed in seeds:
        for trial in range(200):
            data = bytearray(seed)
            if trial % 4 == 0:
                del data[generator.integers(132, len(data)) :]
            else:
                for place in generator.integers(128, min(len(data), 900), 3):
                    data[place] = generator.integers(256)
            try:
                image = decode(bytes(data))
            except RejectedFileError as error:
                outcomes["refused"] += error.code in REJECT_CODES
            else:
                outcomes["read"] += image.grey.dtype == np.uint8
    assert sum(outcomes.values()) == 400
    assert min(outcomes.values()) > 40


def test_rle_cut_short_is_refused():
    dataset = pydicom.dcmread(own_file("MR_small_RLE.dcm"))
    assert dataset.file_meta.TransferSyntaxUID == RLELossless
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    codes = set()
    for lost in (2, 40, 600):
        dataset.PixelData = pydicom.encaps.encapsulate([frame[:-lost]])
        with pytest.raises(RejectedFileError) as caught:
            decode(pack(dataset))
        codes.add(caught.value.code)
    assert codes <= {"undecodable", "truncated"}


def test_without_pydicom_the_extra_is_named(monkeypatch):
    data = pack(make())
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(RejectedFileError, match=r"pip install 'upscale-audit\[dicom\]'") as caught:
        decode(data)
    assert caught.value.code == "no_decoder"


def test_the_size_is_found_without_pydicom(tmp_path):
    path = tmp_path / "a.dcm"
    for name in ("MR_small.dcm", "MR_small_implicit.dcm", "MR_small_RLE.dcm"):
        path.write_bytes(Path(own_file(name)).read_bytes())
        assert peek_size(path) == (64 * 64, False)
    path.write_bytes(bytes(128) + b"DICM")
    assert peek_size(path) == (0, False)


def test_the_patient_is_known_and_nothing_else_of_the_file_leaves_it(study_folder, read_rows):
    secret = "NoName^Nowhere"
    study_folder.add_model("m", paths=("notta",))
    for number, patient in enumerate(["0042", "42", "P-7", ""]):
        dataset = make(PatientID=patient, PatientName=secret, InstitutionName=secret,
                       WindowCenter=900, WindowWidth=700)  # fmt: skip
        study_folder.put(f"{number}.dcm", pack(dataset))
        study_folder.put(f"{number}.dcm", pack(dataset), "m")
    study = study_folder.load(parameters='window = "dicom"')
    report = ingest_study(study, workers=1)
    assert report.rejects == ()
    found = [row["patient_id"] for row in read_rows(study.raw, "images")]
    assert found == ["42", "42", "P-7", None]
    for path in study.raw.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()
    assert "PatientName" not in dicom._ELEMENTS
