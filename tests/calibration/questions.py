"""What is asked of the simulated studies: each interval's truth, each test's true null."""

from dataclasses import dataclass

from tests.calibration.studies import BASELINE, FLAG_RATES, Truth

TRUTH = Truth()


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of a mart, what it must hold, and the rows that have it."""

    name: str
    mart: str
    low: str
    truth: float
    where: str = "true"
    model: str = "model_id"

    @property
    def sql(self):
        """One row per simulated model: whether the interval holds the truth; NULL without one."""
        high = self.low.replace("_low", "_high")
        return (
            f"select {self.model}, {self.truth!r} between {self.low} and {high}"
            f" from {self.mart} where {self.where}"
        )


@dataclass(frozen=True)
class Test:
    """A p of a mart whose null hypothesis is true in the simulation."""

    __test__ = False
    name: str
    mart: str
    p: str
    where: str = "true"
    model: str = "model_id"

    @property
    def sql(self):
        """One row per simulated model: whether the smallest of its p is below 0.05."""
        return (
            f"select {self.model}, min({self.p}) < 0.05 from {self.mart} where {self.where}"
            f" group by {self.model}"
        )


_NOTTA = "inference_path = 'notta'"
_PROOF = f"population = 'per_model' and source_id = 'images' and {_NOTTA}"
_PUBLISHED_PROOF = "population = 'per_model' and source_id = 'published'"
_LESION = f"quantity = 'd_noise' and {_NOTTA}"
_SEAM = "distance_blocks = 0 and inference_path = 'tta'"
_FROZEN = f"population = 'frozen' and {_NOTTA}"
# The baseline comes first by name: each simulated model is the second of its pair.
_PAIR = f"{_NOTTA} and model_a = '{BASELINE}'"
_RING = f"frame_side = 'all' and distance_blocks = 0 and {_NOTTA}"
# Two axes that a study could have been scored by instead.
_CHOICES = {
    "\u03a66 pooled": "feature_space = 'phi6' and is_scaled and basis = 'pooled'"
    " and origin = 'zero' and axis_sign = 'anchored'",
    "\u03a63 of the model": "feature_space = 'phi3' and is_scaled and basis = 'own'"
    " and origin = 'mean' and axis_sign = 'anchored'",
}

INTERVALS = (
    Interval("frame deficit", "mart_frame_effect", "deficit_low", TRUTH.frame_deficit, _NOTTA),
    Interval(
        "frame excess over the baseline",
        "mart_frame_effect",
        "excess_low",
        TRUTH.frame_excess,
        "inference_path = 'tta'",
    ),
    Interval(
        "SSIM of the outermost ring", "mart_frame_profile", "mean_low", TRUTH.mean_ssim, _RING
    ),
    Interval(
        "tta effect on noise",
        "mart_tta_effect",
        "change_low",
        TRUTH.noise_change,
        "quantity = 'd_noise'",
    ),
    Interval(
        "noise of axis-positive blocks",
        "mart_direction_components",
        "mean_low",
        TRUTH.noise,
        "component = 'noise' and polarity = 'positive'",
    ),
    Interval(
        "mean SSIM less the baseline's",
        "mart_lfv_proof",
        "excess_mean_ssim_low",
        TRUTH.excess_mean_ssim,
        _PROOF,
    ),
    Interval(
        "slope of mean SSIM on texture",
        "mart_lfv_proof",
        "slope_texture_mean_low",
        TRUTH.slope_texture,
        _PROOF,
    ),
    Interval(
        "correlation of texture and smallest SSIM",
        "mart_lfv_proof",
        "correlation_low",
        TRUTH.correlation,
        _PUBLISHED_PROOF,
    ),
    Interval(
        "worst blocks on the frame less the baseline's",
        "mart_lfv_proof",
        "excess_frame_ratio_low",
        TRUTH.frame_ratio,
        _PROOF,
    ),
    Interval(
        "centred boundary bias index",
        "mart_lfv_proof",
        "centred_boundary_bias_index_low",
        TRUTH.centred_bias,
        _PUBLISHED_PROOF,
    ),
    Interval(
        "lesion difference, any finding",
        "mart_lesion_risk",
        "difference_low",
        TRUTH.lesion_difference,
        f"{_LESION} and finding = 'any'",
    ),
    Interval(
        "lesion excess over the baseline, any finding",
        "mart_lesion_risk",
        "excess_low",
        TRUTH.lesion_difference,
        f"{_LESION} and finding = 'any'",
    ),
    Interval(
        "step of SSIM at a seam", "mart_seam_profile", "difference_low", TRUTH.seam_step, _SEAM
    ),
    Interval(
        "the same over the baseline's", "mart_seam_profile", "excess_low", TRUTH.seam_step, _SEAM
    ),
    Interval(
        "sharpness, axis-positive less axis-negative blocks",
        "mart_axis1_types",
        "sharpness_low",
        TRUTH.sharpness_contrast,
    ),
    *(
        Interval(
            f"sharpness of axis-{side} blocks",
            "mart_axis1_types",
            f"{side}_sharpness_low",
            TRUTH.sharpness_difference,
        )
        for side in ("positive", "negative")
    ),
    *(
        Interval(
            f"the same contrast of sharpness, {name}",
            "mart_axis1_multiverse",
            "contrast_sharpness_low",
            TRUTH.sharpness_contrast,
            where,
        )
        for name, where in _CHOICES.items()
    ),
    *(
        Interval(
            f"mean of a model, {name}",
            "mart_model_means",
            "mean_low",
            truth,
            f"{_NOTTA} and source_id = 'images' and quantity = '{quantity}'",
        )
        for name, quantity, truth in (
            ("block SSIM", "local_ssim", TRUTH.mean_ssim),
            ("noise", "d_noise", TRUTH.noise),
        )
    ),
    *(
        Interval(
            f"the baseline less a model, {name}",
            "mart_model_pairs",
            "difference_low",
            truth,
            f"{_PAIR} and source_id = 'images' and quantity = '{quantity}'",
            "model_b",
        )
        for name, quantity, truth in (
            ("block SSIM", "local_ssim", -TRUTH.excess_mean_ssim),
            ("sharpness", "d_sharp", TRUTH.sharpness_difference),
        )
    ),
)
# Discrete: the interval holds at least what it says, more where flags are rare.
RATES = tuple(
    Interval(
        f"rate of a rule, {100 * rate:g} % of images",
        "mart_flag_rates",
        "flagged_low_ratio",
        rate,
        f"rule_id = 'single_{metric}' and {_FROZEN}",
    )
    for metric, rate in FLAG_RATES.items()
)

_LOCATION_TESTS = (
    ("published: chi-square of the boundary zone", "boundary_p_value"),
    ("the same against the zone's exact share", "boundary_exact_p_value"),
    ("binomial of the outermost ring", "frame_p_value"),
    ("corrected location test", "location_p_value"),
)
TESTS = (
    *(Test(name, "mart_lfv_proof", p, _PUBLISHED_PROOF) for name, p in _LOCATION_TESTS),
    Test("the same, every image located", "mart_lfv_proof", "location_p_value", _PROOF),
    Test("frame deficit, t test over patients", "mart_frame_effect", "deficit_p_value", _NOTTA),
    Test(
        "lesion risk, any finding",
        "mart_lesion_risk",
        "p_value",
        f"{_LESION} and finding = 'any'",
    ),
    Test(
        "lesion risk, excess over the baseline, any finding",
        "mart_lesion_risk",
        "excess_p_value",
        f"{_LESION} and finding = 'any'",
    ),
    Test(
        "lesion risk, at least one finding, uncorrected",
        "mart_lesion_risk",
        "p_value",
        f"{_LESION} and family_size > 1",
    ),
    Test(
        "lesion risk, at least one finding, Holm",
        "mart_lesion_risk",
        "p_holm",
        f"{_LESION} and family_size > 1",
    ),
    Test(
        "the baseline against a model, sharpness",
        "mart_model_pairs",
        "p_value",
        f"{_PAIR} and source_id = 'images' and quantity = 'd_sharp'",
        "model_b",
    ),
)
PUBLISHED = (
    Test(
        "published: t test of the texture correlation",
        "mart_lfv_proof",
        "correlation_p_value",
        _PUBLISHED_PROOF,
    ),
    *(Test(name, "mart_lfv_proof", p, _PUBLISHED_PROOF) for name, p in _LOCATION_TESTS),
)
