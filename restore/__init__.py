"""Restored images from references: LR creation, restorers with and without TTA, provenance."""
