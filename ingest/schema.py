"""The raw tables: each column's type, unit, meaning and encoding, declared once.

dbt's source description is tested against this dictionary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from upscale_audit.ingest.block_declarations import MEASURES
from upscale_audit.ingest.metrics.declared import METRICS, PERIOD_NAME, PUBLISHED_NAMES
from upscale_audit.ingest.published import METRIC_COLUMNS

SCHEMA_VERSION = 7
"""Raised when a column or a manifest is changed or redefined; part of every shard's recipe."""


@dataclass(frozen=True)
class Column:
    """A raw column. `unit` is "" where dimensionless."""

    name: str
    type: pa.DataType
    unit: str
    description: str
    nullable: bool = True


_TEXT, _FLOAT, _COUNT = pa.string(), pa.float32(), pa.int64()


def _measured(image: str) -> tuple[Column, ...]:
    """Columns of one image's own block measurements."""
    return (
        Column(f"{image}_sum", pa.int16(), "dn", "Sum of grey values over the block."),
        Column(f"{image}_sum_sq", pa.int32(), "dn2", "Sum of squared grey values."),
        Column(
            f"{image}_laplacian",
            pa.uint32(),
            "dn2",
            "64 sum(L^2) - sum(L)^2 of the 4-neighbour Laplacian: its variance times 4096.",
        ),
        Column(f"{image}_noise", pa.int32(), "dn", "Sum of |I * M|, M the Immerkaer mask."),
        Column(f"{image}_detail2", pa.int32(), "dn2", "4 E_2: Haar energy at cells of 2 px."),
        Column(f"{image}_detail4", pa.int32(), "dn2", "16 E_4: Haar energy at cells of 4 px."),
        Column(f"{image}_step_side", pa.int16(), "dn", "Sum of |step| across existing sides."),
        Column(f"{image}_step_side16", pa.int16(), "dn", "As step_side, sides on 16 px only."),
        Column(f"{image}_step_middle", pa.int16(), "dn", "Sum of |step| across both midlines."),
        Column(f"{image}_step_inside", pa.int16(), "dn", "Sum of |step| inside, midlines too."),
    )


def _compared(path: str) -> tuple[Column, ...]:
    """Columns that compare one inference path's image with the reference."""
    return (
        Column(f"{path}_cross", pa.int32(), "dn2", "Sum of reference x restored grey values."),
        Column(f"{path}_cross_detail2", pa.int32(), "dn2", "4 E_2 of reference x restored."),
        Column(f"{path}_cross_detail4", pa.int32(), "dn2", "16 E_4 of reference x restored."),
        Column(f"{path}_local_ssim", _FLOAT, "", "Block SSIM: mean of four 7x7 windows."),
        Column(
            f"{path}_ringing",
            _FLOAT,
            "dn2",
            "Sum over ringing_px pixels of the squared error less its 9x9 mean.",
        ),
        Column(f"{path}_lr_usable", pa.int8(), "count", "LR pixels of the block that are judged."),
        Column(f"{path}_lr_clamped", pa.int8(), "count", "LR pixels where the rule may have cut."),
        Column(f"{path}_lr_contradicted", pa.int8(), "count", "Judged LR pixels beyond the bound."),
        Column(f"{path}_lr_sum", _COUNT, "dn/lr_unit", "Sum of A y - L over judged LR pixels."),
        Column(f"{path}_lr_largest", _COUNT, "dn/lr_unit", "Largest |A y - L| of them."),
        Column(f"{path}_lr_square", _FLOAT, "dn2", "Sum of (A y - L)^2 over them."),
        Column(f"{path}_null_energy", _FLOAT, "dn2", "Sum of squares of y less its projection."),
        Column(f"{path}_null_product", _FLOAT, "dn2", "Sum of that times the reference's."),
        Column(f"{path}_bent", _FLOAT, "dn2", "Sum of squares of the projected error."),
    )


BLOCKS = (
    Column("image_id", _TEXT, "", "Stem of the reference's file name.", nullable=False),
    Column("block_row", pa.int16(), "", "Zero-based from the top.", nullable=False),
    Column("block_col", pa.int16(), "", "Zero-based from the left.", nullable=False),
    Column("is_partial", pa.bool_(), "", "Cut by the image frame: no measures.", nullable=False),
    Column("side_count", pa.int8(), "count", "Sides shared with another pixel row or column."),
    Column("side16_count", pa.int8(), "count", "Of these, sides on a multiple of 16 px."),
    Column("ringing_px", pa.int8(), "count", "Pixels at distance 2-5 from a reference edge."),
    *_measured("reference"),
    Column("reference_null_energy", _FLOAT, "dn2", "Sum of squares of x less its projection."),
    *_measured("notta"),
    *_compared("notta"),
    *_measured("tta"),
    *_compared("tta"),
)
"""One row per model x image x block; model_id is the directory's hive key."""

IMAGES = (
    Column("image_id", _TEXT, "", "Stem of the reference's file name.", nullable=False),
    Column("width_px", pa.int32(), "px", "Width of the reference."),
    Column("height_px", pa.int32(), "px", "Height of the reference."),
    Column("edge_low_dn", pa.int32(), "dn", "Lower Canny threshold (L1 Sobel magnitude)."),
    Column("edge_high_dn", pa.int32(), "dn", "Upper Canny threshold."),
    Column(
        "lr_rule_status",
        _TEXT,
        "",
        "verified, unverified, refuted, unknown, missing, rejected or unfit; NULL without [lr].",
    ),
    Column("lr_detail", _TEXT, "", "The evidence for it, in one line."),
    Column("lr_rule", _TEXT, "", "How the LR image was made; NULL where not known."),
    Column("lr_scale", pa.int32(), "", "Sides of the reference over those of the LR image."),
    Column("lr_unit", _COUNT, "1/dn", "Residuals count in this part of a dn."),
    Column("lr_bound", _COUNT, "dn/lr_unit", "Beyond it a residual is a contradiction."),
    Column("lr_px", _COUNT, "px", "Pixels of the LR image."),
    Column("lr_border_px", _COUNT, "px", "Of these, not judged: they read beyond the border."),
    Column("lr_clamped_px", _COUNT, "px", "Not judged in the reference: the rule may have cut."),
    Column("lr_contradicted_px", _COUNT, "px", "Contradicted by the reference itself."),
    Column("lr_largest_dn", pa.float64(), "dn", "Largest judged |A x - L| of the reference."),
    Column("patient_id", _TEXT, "", "PatientID of a DICOM reference; NULL where none."),
)
"""One row per decoded reference."""

SOURCE_FILES = (
    Column("role", _TEXT, "", "reference, lr or restored.", nullable=False),
    Column("model_id", _TEXT, "", "NULL but for restored images."),
    Column("inference_path", _TEXT, "", "notta or tta; NULL but for restored images."),
    Column("image_id", _TEXT, "", "The image it belongs to.", nullable=False),
    Column("file_name", _TEXT, "", "Name within its folder, sub-folders and all.", nullable=False),
    Column("bytes", _COUNT, "bytes", "Size of the file."),
    Column("file_sha256", _TEXT, "", "SHA-256 of the file."),
    Column("pixel_sha256", _TEXT, "", "SHA-256 of the decoded channels with their shape."),
    Column("width_px", pa.int32(), "px", "Width, turned where the file says so."),
    Column("height_px", pa.int32(), "px", "Height, likewise."),
    Column("colour_mode", _TEXT, "", "Pillow mode; of DICOM the photometric interpretation."),
    Column("bit_depth", pa.int32(), "bits", "Bits a channel in the file; of DICOM those stored."),
    Column("grey_rule", _TEXT, "", "How grey values were made from the channels."),
    Column("transparent_px", _COUNT, "px", "Pixels put on white; NULL without alpha."),
    Column("orientation", pa.int32(), "", "EXIF orientation that was undone; NULL where none."),
    Column("gamma", pa.float64(), "", "Exponent a PNG states; not applied; NULL where none."),
    Column("icc_sha256", _TEXT, "", "SHA-256 of the ICC profile; not applied; NULL where none."),
    Column("grey_sha256", _TEXT, "", "SHA-256 of the grey values measured, with their shape."),
    Column("lowest_dn", pa.int32(), "dn", "Lowest grey value."),
    Column("highest_dn", pa.int32(), "dn", "Highest grey value."),
    Column("window_rule", _TEXT, "", "How values became 8 bits; NULL where no window was applied."),
    Column("window_low", pa.float64(), "", "Value that is shown as 0; NULL likewise."),
    Column("window_high", pa.float64(), "", "Value that is shown as 255; NULL likewise."),
    Column("window_clipped_px", _COUNT, "px", "Pixels beyond these two; NULL likewise."),
    Column("rescale_slope", pa.float64(), "", "Of stored values, before the window; NULL if none."),
    Column("rescale_intercept", pa.float64(), "", "Likewise."),
    Column("is_inverted", pa.bool_(), "", "The lowest value was white; NULL where nothing says."),
    Column("padding_px", _COUNT, "px", "Pixels of DICOM's padding value; NULL where none stated."),
    Column("row_spacing_mm", pa.float64(), "mm", "Distance of rows, of DICOM; NULL where none."),
    Column("col_spacing_mm", pa.float64(), "mm", "Distance of columns, likewise."),
    Column("size_rule", _TEXT, "", "What made it the reference's size; NULL where it had it."),
)
"""One row per file that was measured."""

PAIRS = (
    Column("image_id", _TEXT, "", "The reference.", nullable=False),
    Column("model_id", _TEXT, "", "The model.", nullable=False),
    Column("inference_path", _TEXT, "", "notta or tta.", nullable=False),
    Column(
        "status",
        _TEXT,
        "",
        "measured, missing, ambiguous, not_declared, rejected or reference_rejected.",
        nullable=False,
    ),
    Column("match_rule", _TEXT, "", "exact or suffix; NULL where no file was matched."),
    Column("file_name", _TEXT, "", "The matched file's name within its folder."),
)
"""One row per reference x model x inference path."""

REJECTS = (
    Column("role", _TEXT, "", "reference, lr, restored or mask.", nullable=False),
    Column("model_id", _TEXT, "", "NULL but for restored images."),
    Column("inference_path", _TEXT, "", "notta or tta; NULL but for restored images."),
    Column("file_name", _TEXT, "", "Name within its folder, sub-folders and all.", nullable=False),
    Column("reason", _TEXT, "", "Reason code; ingest.images.REJECT_CODES.", nullable=False),
    Column("detail", _TEXT, "", "What was found."),
    Column("bytes", _COUNT, "bytes", "Size of the file; NULL where unreadable."),
    Column("file_sha256", _TEXT, "", "SHA-256 of the file; NULL where unreadable."),
)
"""One row per refused file."""

ROUNDED_NAMES = tuple(
    metric.name
    for metric in METRICS
    if metric.name in PUBLISHED_NAMES and metric.published_decimals is not None
)
"""Metrics that the published CSV rounds; each has a second, rounded column."""

IMAGE_METRICS = (
    Column("model_id", _TEXT, "", "The model.", nullable=False),
    Column("inference_path", _TEXT, "", "notta or tta.", nullable=False),
    Column("image_id", _TEXT, "", "The reference.", nullable=False),
    *(
        Column(metric.name, pa.float64(), metric.unit, f"{metric.description}.")
        for metric in METRICS
    ),
    Column(PERIOD_NAME, pa.float64(), "px", "Period of that pattern; NULL where nothing repeats."),
    *(
        Column(f"{name}_rounded", pa.float64(), "", f"{name} as the published CSV rounds it.")
        for name in ROUNDED_NAMES
    ),
)
"""One row per model x inference path x image; no row where the study leaves metrics out."""

METRIC_LIST = (
    Column("metric", _TEXT, "", "Name of a per-image metric.", nullable=False),
    Column("metric_number", pa.int32(), "", "Order of declaration, from 1.", nullable=False),
    Column("unit", _TEXT, "", "Unit; empty where dimensionless.", nullable=False),
    Column("lowest", pa.float64(), "", "Closed lower bound; NULL where there is none."),
    Column("highest", pa.float64(), "", "Closed upper bound; NULL where there is none."),
    Column("published_decimals", pa.int32(), "", "Decimals in the published CSV; NULL if none."),
    Column("polarity", _TEXT, "", "higher_better, lower_better or neutral.", nullable=False),
    Column("looks_at", _TEXT, "", "restored (output only) or both images.", nullable=False),
    Column("source", _TEXT, "", "Section of the definitions.", nullable=False),
    Column("description", _TEXT, "", "What it is, in one line.", nullable=False),
    Column("null_when", _TEXT, "", "When an image has no value; NULL where only too small ones."),
    Column("not_measured", _TEXT, "", "Why this study has no value; NULL where it measures."),
)
"""One row per declared metric."""

_PUBLISHED_METRICS = {metric.name: (metric.unit, metric.description) for metric in METRICS}
_PUBLISHED_KEYS = (
    Column("label", _TEXT, "", "Names the file in the study.", nullable=False),
    Column("row_number", _COUNT, "", "Order in the file, from 0.", nullable=False),
    Column("model_id", _TEXT, "", "The file's model column, as written.", nullable=False),
    Column("image_id", _TEXT, "", "As written.", nullable=False),
)

PUBLISHED_RESULTS = (
    *_PUBLISHED_KEYS,
    Column("original_path", _TEXT, "", "Reference, as written."),
    Column("upscaled_path", _TEXT, "", "Restored image, as written."),
    Column("original_width_px", pa.int32(), "px", "NULL in files without size columns."),
    Column("original_height_px", pa.int32(), "px", "NULL in files without size columns."),
    Column("original_format", _TEXT, "", "File suffix of the reference."),
    Column("upscaled_width_px", pa.int32(), "px", "After the generator's resize to the reference."),
    Column("upscaled_height_px", pa.int32(), "px", "After the generator's resize likewise."),
    Column("upscaled_format", _TEXT, "", "File suffix of the restored image."),
    *(
        Column(name, pa.float64(), _PUBLISHED_METRICS[name][0], f"{_PUBLISHED_METRICS[name][1]}.")
        for name in METRIC_COLUMNS
    ),
    Column("detection_count", pa.int32(), "count", "Published flags; NULL in files without them."),
    Column(
        "detected_patterns", _TEXT, "", "Published labels, verbatim; the text None is no pattern."
    ),
    Column("confidence_level", _TEXT, "", "High, Medium, Low or Normal, as published."),
)
"""One row per label x model x image of a published results file."""

PUBLISHED_LOCATIONS = (
    *_PUBLISHED_KEYS,
    Column("min_ssim_value", pa.float64(), "", "Smallest block SSIM.", nullable=False),
    Column("min_row", pa.int32(), "", "Its block row, from 0.", nullable=False),
    Column("min_col", pa.int32(), "", "Its block column, from 0.", nullable=False),
    Column("total_rows", pa.int32(), "count", "Block rows of the map.", nullable=False),
    Column("total_cols", pa.int32(), "count", "Block columns of the map.", nullable=False),
    Column("distance_to_boundary", pa.int32(), "blocks", "To the nearest side.", nullable=False),
    Column("normalized_distance", pa.float64(), "", "That over half the side.", nullable=False),
    Column("is_boundary", pa.bool_(), "", "Published flag of the outer zone.", nullable=False),
)
"""One row per label x model x image of a published location file."""

PUBLISHED_COMPARISONS = (
    Column("label", _TEXT, "", "Names the file in the study.", nullable=False),
    Column("model_id", _TEXT, "", "As written.", nullable=False),
    Column("metric", _TEXT, "", "Metric name.", nullable=False),
    Column("statistic", _TEXT, "", "mean, std, min, max, median or count.", nullable=False),
    Column("value", pa.float64(), "", "In the metric's unit, as rounded in the file."),
)
"""One row per label x model x metric x statistic of a published comparison file."""


def _block_type(name: str) -> pa.DataType:
    if name.startswith("lr_contradicted"):
        return pa.int16()
    if name.startswith("is_"):
        return pa.bool_()
    return _TEXT if name == "state" else pa.float64()


PUBLISHED_BLOCKS = (
    Column("label", _TEXT, "", "Names the file in the study.", nullable=False),
    Column("form", _TEXT, "", "What the file's rows hold: notta, tta or both.", nullable=False),
    Column("model_id", _TEXT, "", "As written, or as the study says.", nullable=False),
    Column("image_id", _TEXT, "", "As written, or as its folder says.", nullable=False),
    Column("block_row", pa.int16(), "", "Zero-based from the top.", nullable=False),
    Column("block_col", pa.int16(), "", "Zero-based from the left.", nullable=False),
    *(
        Column(name, _block_type(name), "", f"{name} as written; NULL where the file has none.")
        for name in MEASURES
    ),
)
"""One row per label x model x image x block, and of files of one path x inference path."""

PUBLISHED_BLOCK_FILES = (
    Column("label", _TEXT, "", "Names the file in the study.", nullable=False),
    Column("file_name", _TEXT, "", "Its name, or its place in the folder.", nullable=False),
    Column("form", _TEXT, "", "What its rows hold: notta, tta or both.", nullable=False),
    Column("model_id", _TEXT, "", "Model of its rows; NULL where the file says it."),
    Column("bytes", _COUNT, "bytes", "Size of the file.", nullable=False),
    Column("file_sha256", _TEXT, "", "SHA-256 of the file.", nullable=False),
    Column("hash_status", _TEXT, "", "listed, stated or unchecked.", nullable=False),
    Column("hash_list", _TEXT, "", "The hash list it was checked against; NULL where none."),
    Column("image_count", _COUNT, "count", "Its models x images.", nullable=False),
    Column("block_count", _COUNT, "count", "Its rows.", nullable=False),
)
"""One row per label x form x file of published blocks."""

LABELS = (
    Column("image_id", _TEXT, "", "Stem of the image's file name.", nullable=False),
    Column("patient_id", _TEXT, "", "Patient; a number without leading zeros."),
    Column("finding_labels", _TEXT, "", "Findings, separated by |, as published."),
    Column("follow_up", pa.int32(), "", "Follow-up number."),
    Column("age_years", pa.int32(), "years", "Patient's age in whole years."),
    Column("sex", _TEXT, "", "M or F."),
    Column("view_position", _TEXT, "", "PA, AP, or as the list writes it."),
)
"""One row per image of the label file."""

BOXES = (
    Column("image_id", _TEXT, "", "Stem of the image's file name.", nullable=False),
    Column("box_number", pa.int32(), "", "Order within the image, from 0.", nullable=False),
    Column("line_number", pa.int32(), "", "Line of the list, from 1.", nullable=False),
    Column("finding", _TEXT, "", "Finding; Infiltrate is read as Infiltration."),
    Column("left_px", pa.float64(), "px", "Left edge, in the reference, cut to it."),
    Column("top_px", pa.float64(), "px", "Top edge, likewise."),
    Column("width_px", pa.float64(), "px", "Width, likewise."),
    Column("height_px", pa.float64(), "px", "Height, likewise."),
    Column("frame", _TEXT, "", "In which the list counts: reference, unit or a size in px."),
    Column("frame_rule", _TEXT, "", "stated, derived or assumed; ingest.boxes.find_frame."),
    Column(
        "status",
        _TEXT,
        "",
        "whole, clipped, outside, empty, duplicate or no_reference; ingest.boxes.",
        nullable=False,
    ),
)
"""One row per image x finding box."""

REGIONS = (
    Column("region_code", pa.int8(), "", "Its character in region_rows, less 48.", nullable=False),
    Column("region", _TEXT, "", "Its name; ingest.regions.", nullable=False),
)
"""One row per region that the study's blocks may lie in."""

REGION_ROWS = (
    Column("image_id", _TEXT, "", "The reference.", nullable=False),
    Column("block_row", pa.int16(), "", "Zero-based from the top.", nullable=False),
    Column("regions", _TEXT, "", "A character a block: its region_code, plus 48.", nullable=False),
    Column(
        "covered",
        _TEXT,
        "",
        "A character a block: its pixels of that region, 1 to 64, plus 48.",
        nullable=False,
    ),
)
"""One row per reference whose regions are known x row of blocks."""

MASKS = (
    Column("image_id", _TEXT, "", "The reference.", nullable=False),
    Column(
        "status",
        _TEXT,
        "",
        "none_named, used, missing, low_rca, empty, or why it was refused.",
        nullable=False,
    ),
    Column("file_name", _TEXT, "", "The mask's file; NULL where none was found."),
    Column("line_number", pa.int32(), "", "Its line in a CSV, from 1; NULL in label images."),
    Column("dice_rca", pa.float64(), "", "Estimated Dice coefficient, as the CSV states it."),
    Column("mask_width_px", pa.int32(), "px", "Width of the mask; NULL where none was read."),
    Column("mask_height_px", pa.int32(), "px", "Height, likewise."),
    Column("overlap_px", _COUNT, "px", "Pixels of the mask that several structures claim."),
    Column("regions_sha256", _TEXT, "", "Of its rows of region_rows; NULL where it has none."),
)
"""One row per decoded reference: the mask that its regions come from."""

WARNINGS = (
    Column("warning", _TEXT, "", "What it is; ingest.study_warnings.", nullable=False),
    Column("subject", _TEXT, "", "What it is of: model and path, or a role.", nullable=False),
    Column("other", _TEXT, "", "With what it is the same; empty where nothing.", nullable=False),
    Column("model_id", _TEXT, "", "The subject's model; NULL where it has none."),
    Column("inference_path", _TEXT, "", "The subject's path; NULL where it has none."),
    Column("item_count", _COUNT, "count", "How many images or boxes it is about.", nullable=False),
    Column("total_count", _COUNT, "count", "Of how many.", nullable=False),
    Column("example", _TEXT, "", "The first of them."),
    Column("sentence", _TEXT, "", "All of it, and what to do, in one line.", nullable=False),
)
"""One row per warning x subject x other: what may make a study's numbers mean something else."""

PATCHES = (
    Column("model_id", _TEXT, "", "The model.", nullable=False),
    Column("inference_path", _TEXT, "", "notta or tta.", nullable=False),
    Column("image_id", _TEXT, "", "The reference.", nullable=False),
    Column("patch_px", pa.int16(), "px", "Side of the patch.", nullable=False),
    Column("patch_row", pa.int16(), "", "Zero-based from the top.", nullable=False),
    Column("patch_col", pa.int16(), "", "Zero-based from the left.", nullable=False),
    Column("lr_nyquist", pa.float64(), "cycles/px", "The LR image's highest frequency."),
    Column(
        "frc50_end",
        _FLOAT,
        "cycles/px",
        "Where the ring correlation first falls below 0.5; 0.5 where nowhere, NULL if flat.",
    ),
    Column("frc75_end", _FLOAT, "cycles/px", "The same below 0.75."),
)
"""One row per model x inference path x image x size x whole patch, if the study asks for sFRC."""

HYRA_NETWORKS = (
    Column("model_id", _TEXT, "", "The model.", nullable=False),
    Column("step_dn", pa.float64(), "dn", "Height of the impulse, both signs.", nullable=False),
    Column("kind", _TEXT, "", "Kind of its restorer in the study file.", nullable=False),
    Column("weights_sha256", _TEXT, "", "Of the weights; NULL for an interpolator."),
    Column("scale", pa.int32(), "", "Sides of the output over sides of the input.", nullable=False),
    Column("base_dn", pa.float64(), "dn", "Grey on which the impulse was set.", nullable=False),
    Column("is_linear_part", pa.bool_(), "", "Its response makes linear parts.", nullable=False),
    Column("radius_px", pa.int32(), "px", "LR pixels kept on each side.", nullable=False),
    Column("zero_crossing_px", pa.float64(), "px", "First zero crossing; NULL if a side has none."),
    Column("zero_spacing_px", pa.float64(), "px", "From first to second; NULL if a side has none."),
    Column("side_lobe", pa.float64(), "", "Lowest value of the profiles over the highest."),
    Column("gain_min", pa.float64(), "", "Least sum of the response over a phase."),
    Column("gain_max", pa.float64(), "", "Greatest sum of the response over a phase."),
    Column("flat_shift_dn", pa.float64(), "dn", "What a flat base becomes, less the base."),
    Column("flat_range_dn", pa.float64(), "dn", "Span of a flat base over the phases."),
    Column("position_spread", pa.float64(), "", "RMS distance of positions' responses over norm."),
    Column("step_spread", pa.float64(), "", "Half the distance of up and down over norm."),
    Column("tail_energy_ratio", pa.float64(), "", "Share of energy beyond the radius."),
)
"""One row per model whose network was called x height of the impulse."""

HYRA_IMAGES = (
    Column("model_id", _TEXT, "", "The model.", nullable=False),
    Column("image_id", _TEXT, "", "The reference.", nullable=False),
    Column("reference_sha256", _TEXT, "", "Of the file that was read; NULL where unreadable."),
    Column("reason", _TEXT, "", "Why there are no measures; NULL where there are."),
    Column("scale", pa.int32(), "", "Sides of the output over sides of the input."),
    Column("step_dn", pa.float64(), "dn", "Height of the impulse behind the linear part."),
    Column("lr_height_px", pa.int32(), "px", "Of the LR image that was restored."),
    Column("lr_width_px", pa.int32(), "px", "Likewise."),
    Column("margin_px", pa.int32(), "px", "Restored pixels left out on every side."),
    Column("hyra_lin_energy", pa.float64(), "", "Energy of the linear part over the whole's."),
    Column("hyra_lin_contrast", pa.float64(), "", "Variance of the linear part over the whole's."),
    Column("nonlin_rms_dn", pa.float64(), "dn", "Root mean square of the non-linear part."),
    Column("reference_hf_ratio", pa.float64(), "", "Reference's share of power above LR Nyquist."),
    Column("restored_hf_ratio", pa.float64(), "", "The same of the restored image."),
    Column("linear_hf_ratio", pa.float64(), "", "The same of the linear part."),
    Column("hyra_nonlin_hf", pa.float64(), "", "The same of the non-linear part."),
    Column("restored_hf_gain", pa.float64(), "", "Power above LR Nyquist over the reference's."),
    Column("linear_hf_gain", pa.float64(), "", "The same of the linear part."),
    Column("nonlin_hf_gain", pa.float64(), "", "The same of the non-linear part."),
    Column("hf_correlation", pa.float64(), "", "Of restored and reference above LR Nyquist."),
    Column("best_linear_contrast", pa.float64(), "", "Variance that the best filter explains."),
    Column("best_nonlin_rms_dn", pa.float64(), "dn", "Root mean square of what it leaves."),
    Column("best_nonlin_hf", pa.float64(), "", "Share of what it leaves above LR Nyquist."),
    Column("best_nonlin_hf_gain", pa.float64(), "", "That power over the reference's."),
)
"""One row per model whose network was called x reference."""

HYRA_IMPULSES = (
    Column("model_id", _TEXT, "", "The model.", nullable=False),
    Column("step_dn", pa.float64(), "dn", "Height of the impulse.", nullable=False),
    Column("row_offset_px", pa.float64(), "px", "From the LR pixel's centre.", nullable=False),
    Column("col_offset_px", pa.float64(), "px", "Likewise.", nullable=False),
    Column("response", pa.float64(), "", "Output per unit of input.", nullable=False),
)
"""One row per model x height of the impulse x restored pixel around an LR pixel."""

HYRA_SPECTRA = (
    Column("model_id", _TEXT, "", "The model.", nullable=False),
    Column("image_id", _TEXT, "", "The reference.", nullable=False),
    Column("ring_number", pa.int32(), "", "Ring of frequency, from 0.", nullable=False),
    Column("frequency", pa.float64(), "cycles/px", "Middle of the ring.", nullable=False),
    Column("reference_power", pa.float64(), "dn2 px2", "Mean power density of the reference."),
    Column("restored_power", pa.float64(), "dn2 px2", "Of the restored image."),
    Column("linear_power", pa.float64(), "dn2 px2", "Of the linear part."),
    Column("nonlin_power", pa.float64(), "dn2 px2", "Of the non-linear part."),
    Column("best_nonlin_power", pa.float64(), "dn2 px2", "Of what the best filter leaves."),
)
"""One row per model x measured image x ring of frequency."""

HYRA_TABLES = {
    "hyra_networks": HYRA_NETWORKS,
    "hyra_images": HYRA_IMAGES,
    "hyra_impulses": HYRA_IMPULSES,
    "hyra_spectra": HYRA_SPECTRA,
}
"""Tables in ``hyra/`` beside the raw folder, written by the command ``hyra``; optional."""

INJECTIONS = (
    Column("image_id", _TEXT, "", "The copy that it lies in.", nullable=False),
    Column("model_id", _TEXT, "", "The model.", nullable=False),
    Column("inference_path", _TEXT, "", "notta or tta.", nullable=False),
    Column("site_number", pa.int32(), "", "Of the image, from 0.", nullable=False),
    Column("source_image_id", _TEXT, "", "The image copied.", nullable=False),
    Column("arm", _TEXT, "", "sham, auditor, lost or through.", nullable=False),
    Column("kind", _TEXT, "", "What is drawn; sham where nothing is.", nullable=False),
    Column("component", _TEXT, "", "full, range or null: all of it, or a part.", nullable=False),
    Column("contrast_dn", pa.int32(), "dn", "Of its highest point; NULL for kinds without."),
    Column("row_px", pa.int32(), "px", "Middle of the site, from the top."),
    Column("col_px", pa.int32(), "px", "Middle of the site, from the left."),
    Column("angle", pa.int32(), "", "Of what has a direction, in sixteenths of a half turn."),
    Column("energy_dn2", pa.float64(), "dn2", "Sum of squares of what was drawn, rounded."),
    Column("range_dn2", pa.float64(), "dn2", "Its product with what the LR rule sees of it."),
    Column("null_ratio", pa.float64(), "", "Share of its energy that the rule cannot see."),
    Column("clipped_px", pa.int32(), "px", "Pixels that drawing took beyond 0 or 255."),
    Column("response_dn2", pa.float64(), "dn2", "Product with what it changed in the restored."),
    Column("residue_dn2", pa.float64(), "dn2", "Squares of that change beside multiples of it."),
    Column("drawn_sha256", _TEXT, "", "SHA-256 of what was drawn, 72 x 72 little-endian int16."),
    Column("source_sha256", _TEXT, "", "SHA-256 of the file that it was drawn into a copy of."),
)
"""One row per copy of an image x model x inference path x site."""

INJECTION_BLOCKS = (
    Column("source_image_id", _TEXT, "", "The image copied.", nullable=False),
    Column("site_number", pa.int32(), "", "Of the image, from 0.", nullable=False),
    Column("kind", _TEXT, "", "What is drawn, or could have been.", nullable=False),
    Column("block_row", pa.int16(), "", "Zero-based from the top.", nullable=False),
    Column("block_col", pa.int16(), "", "Zero-based from the left.", nullable=False),
)
"""One row per image x site x kind x block in which the kind would show."""

PHANTOM_TABLES = {"injections": INJECTIONS, "injection_blocks": INJECTION_BLOCKS}
"""Tables in ``phantoms/`` beside the raw folder, written by the command ``phantom``; optional."""

READERS = (
    Column("reader", _TEXT, "", "Name that the study gives it.", nullable=False),
    Column(
        "format", _TEXT, "", "torchscript, onnx, torchxrayvision or chestxray8.", nullable=False
    ),
    Column("file_sha256", _TEXT, "", "SHA-256 of the weights.", nullable=False),
    Column("input_px", pa.int32(), "px", "Side of what the network is given.", nullable=False),
    Column("intensity", _TEXT, "", "How grey levels are scaled for it.", nullable=False),
    Column("score", _TEXT, "", "What it gives: probability or logit.", nullable=False),
    Column("has_maps", pa.bool_(), "", "Whether it gives class activation maps.", nullable=False),
    Column("library", _TEXT, "", "What ran it, with its version.", nullable=False),
    Column("device", _TEXT, "", "cpu or cuda.", nullable=False),
)
"""One row per reader, a network that scores findings in a radiograph."""

_READ = (
    Column("reader", _TEXT, "", "As in readers.", nullable=False),
    Column("image_id", _TEXT, "", "The reference.", nullable=False),
    Column("subject", _TEXT, "", "What was read: reference, lr or restored.", nullable=False),
    Column("model_id", _TEXT, "", "The model of a restored image; else NULL."),
    Column("inference_path", _TEXT, "", "notta or tta of a restored image; else NULL."),
    Column("finding", _TEXT, "", "As labels name it.", nullable=False),
)

READINGS = (
    *_READ,
    Column("file_sha256", _TEXT, "", "SHA-256 of the file that was read.", nullable=False),
    Column("score", pa.float64(), "", "As the reader gives it; higher is likelier, finite.", False),
)
"""One row per reader x image read x finding."""

READING_MAPS = (
    *_READ,
    Column("map_correlation", pa.float64(), "", "Pearson's r with the reference's map."),
    Column("overlap_60", pa.float64(), "", "IoU of both maps' pixels above 60 of 255."),
    Column("overlap_180", pa.float64(), "", "IoU of both maps' pixels above 180 of 255."),
)
"""One row per LR or restored image that a reader with maps read x finding."""

READING_BOXES = (
    *_READ,
    Column("map_level", pa.int16(), "", "Level of the map's 255 that it covers.", nullable=False),
    Column("box_number", pa.int32(), "", "Of that map and level, from 0.", nullable=False),
    Column("left_px", pa.float64(), "px", "Left edge, in the reference.", nullable=False),
    Column("top_px", pa.float64(), "px", "Top edge, likewise.", nullable=False),
    Column("width_px", pa.float64(), "px", "Width, likewise.", nullable=False),
    Column("height_px", pa.float64(), "px", "Height, likewise.", nullable=False),
)
"""One row per reader with maps x image read x finding x level x isolated area of the map."""

READING_TABLES = {
    "readers": READERS,
    "readings": READINGS,
    "reading_maps": READING_MAPS,
    "reading_boxes": READING_BOXES,
}
"""Tables in ``readings/`` beside the raw folder, written by the command ``read``; optional."""

TABLES = {
    "blocks": BLOCKS,
    "images": IMAGES,
    "source_files": SOURCE_FILES,
    "image_metrics": IMAGE_METRICS,
    "metrics": METRIC_LIST,
    "pairs": PAIRS,
    "rejects": REJECTS,
    "published_results": PUBLISHED_RESULTS,
    "published_locations": PUBLISHED_LOCATIONS,
    "published_comparisons": PUBLISHED_COMPARISONS,
    "published_blocks": PUBLISHED_BLOCKS,
    "published_block_files": PUBLISHED_BLOCK_FILES,
    "labels": LABELS,
    "boxes": BOXES,
    "regions": REGIONS,
    "region_rows": REGION_ROWS,
    "masks": MASKS,
    "warnings": WARNINGS,
    "patches": PATCHES,
}


def arrow_schema(table: str, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """Arrow schema of a raw table, units and meanings in the fields' metadata."""
    return pa.schema(
        [
            pa.field(
                column.name,
                column.type,
                nullable=column.nullable,
                metadata={"unit": column.unit, "description": column.description},
            )
            for column in (TABLES | HYRA_TABLES | PHANTOM_TABLES | READING_TABLES)[table]
        ],
        metadata=metadata,
    )
