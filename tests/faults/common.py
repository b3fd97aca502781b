"""What the hostile inputs and the faults share."""

from tests.conftest import StudyFolder
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.run import ingest_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.export import export_tables


class Failure(AssertionError):  # noqa: N818 - what the campaign looks for
    """An outcome that no user should ever meet."""


def expect(condition, what):
    """Fail with `what` unless `condition` holds."""
    if not condition:
        raise Failure(what)


def attempt(action, *arguments):
    """Run an action that may succeed or raise a StudyError; anything else is a failure."""
    try:
        action(*arguments)
    except StudyError as error:
        expect(str(error), "an error without a message")
        return "StudyError"
    return "accepted"


def make_study(root, build=False):
    """A study of three tiny images; with `build`, ingested, built and exported."""
    folder = StudyFolder(root)
    folder.add_model("alpha")
    folder.add_model("beta", paths=("notta",))
    for image_id in ("a", "b", "c"):
        folder.add_image(image_id)
    study = folder.load()
    if build:
        ingest_study(study, workers=1)
        build_warehouse(study, threads=2)
        export_tables(study)
    return study
