"""The page that answers: what each model invented, lost or bent, in one file to read and print."""

from upscale_audit.analysis.report.page import write_report

__all__ = ["write_report"]
