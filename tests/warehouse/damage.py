"""Controls: what the tests' damage is declared as, and how it is made."""

from upscale_audit.ingest.restorers import Blur, Jpeg, Noise, Unsharp
from upscale_audit.restore import controls

MADE = {
    "blur": (Blur("blur"), lambda image: controls.blur(image, 1.0)),
    "jpeg": (Jpeg("jpeg"), lambda image: controls.compress_jpeg(image, 50)),
    "noise": (Noise("noise"), lambda image: controls.add_noise(image, 4.0, "upscale-audit")),
    "unsharp": (Unsharp("unsharp"), lambda image: controls.sharpen(image, 1.0, 1.0)),
}
