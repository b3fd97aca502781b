"""Reads the published marts and draws what they say; builds nothing."""
