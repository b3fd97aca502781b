"""Studies whose models declare restorers."""

from dataclasses import replace


def declare(study, **restorers):
    """Give a study's models their restorers."""
    models = tuple(replace(model, restorer=restorers.get(model.model_id)) for model in study.models)
    return replace(study, models=models)
