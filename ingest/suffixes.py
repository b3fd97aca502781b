"""Which file names are images', and of which format."""

FORMATS_BY_SUFFIX = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG"}
FORMATS_BY_SUFFIX |= {".jfif": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP"}
FORMATS_BY_SUFFIX |= {".dcm": "DICOM", ".dicom": "DICOM"}

OTHER_IMAGES = {
    "", ".bmp", ".gif", ".jp2", ".j2k", ".jxl", ".avif", ".heic", ".heif",
    ".ppm", ".pgm", ".pnm", ".pbm", ".pfm", ".tga", ".exr", ".psd", ".npy", ".nii", ".mha",
    ".nrrd", ".raw", ".dng",
}  # fmt: skip
"""Suffixes of images that are not read, and a name without one; any other is no image's."""
