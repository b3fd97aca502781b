"""Manifests signed and followed: verify, prove, hash lists, a paper's folder."""
