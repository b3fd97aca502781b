"""The published LFV proof as figures, with what mends each number beside it (definitions D)."""

from upscale_audit.analysis.lfv.coordinates import draw_coordinate_distribution
from upscale_audit.analysis.lfv.spatial import draw_spatial_dependency
from upscale_audit.analysis.lfv.texture import draw_texture_dependency

__all__ = ["LFV_FIGURES"]

# Under their published names.
LFV_FIGURES = {
    "lfv_proof_texture_dependency": draw_texture_dependency,
    "lfv_proof_spatial_dependency": draw_spatial_dependency,
    "lfv_proof_coordinate_distribution": draw_coordinate_distribution,
}
