"""Figures drawn from the marts of a published warehouse."""
