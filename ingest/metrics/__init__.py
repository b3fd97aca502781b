"""Per-image metrics: declared, of one image, of a pair; each with its loops."""
