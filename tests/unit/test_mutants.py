"""The list of faults of `make mutants` fits the code; a fault is put in, judged and taken out."""

import pytest

from tests.mutants.__main__ import (
    BROKEN,
    NOTICED,
    REPOSITORY,
    SURVIVED,
    UNTRIED,
    Fault,
    format_page,
    read_faults,
    try_fault,
)
from tests.mutants.mutations import EQUIVALENT, TARGETS, Mutation, find_annotations

FAULTS = read_faults()


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault.file}-{fault.means}" for fault in FAULTS])
def test_a_fault_changes_one_place_and_names_who_must_notice(fault):
    text = (REPOSITORY / fault.file).read_text(encoding="utf-8")
    assert text.count(fault.before) == 1
    assert fault.after != fault.before
    assert fault.means
    assert fault.tests
    for name in fault.tests:
        assert (REPOSITORY / name).exists(), name


def test_no_fault_is_listed_twice():
    assert len({(fault.file, fault.before, fault.after) for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize(
    ("after", "outcome"), [("3", SURVIVED), ("4", NOTICED), ("import", BROKEN)]
)
def test_a_fault_is_judged_by_its_tests_and_taken_out_again(tmp_path, after, outcome):
    (tmp_path / "counted.py").write_text("LEGS = 3\n")
    test = "def test_legs():\n    assert (tmp / 'counted.py').read_text() == 'LEGS = 3\\n'\n"
    if outcome == BROKEN:
        test = "import what_is_not_there\n"
    (tmp_path / "test_counted.py").write_text(
        f"from pathlib import Path\n\ntmp = Path({str(tmp_path)!r})\n\n\n{test}"
    )
    fault = Fault("counted.py", "3", after, "an animal has another count", ("test_counted.py",))
    assert try_fault(fault, tmp_path) == outcome
    assert (tmp_path / "counted.py").read_text() == "LEGS = 3\n"


def test_the_page_counts_what_was_noticed_and_says_why_others_were_not():
    faults = [Fault("a.py", "1", "2", "one is two", ("t",), why) for why in ("", "it may")]
    page = format_page(list(zip(faults, (NOTICED, SURVIVED), strict=True)))
    assert "1 of 2 faults were noticed." in page
    assert "| `a.py` | one is two | survived: it may |" in page
    assert "Cosmic Ray" not in page


def test_the_page_shows_what_of_the_sampled_mutations_survived():
    diff = "--- a.py\n+++ a.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = x < 1\n+y = x <= 1\n"
    mutations = [Mutation("a.py", 2, diff, False), Mutation("b.py", 3, diff, True)]
    page = format_page([], mutations)
    assert "A sample of 2" in page
    assert "0 change no value; of\nthe other 2 the modules' own unit tests noticed 1." in page
    assert "`a.py` line 2\n\n```diff\n-y = x < 1\n+y = x <= 1\n```" in page
    assert "b.py" not in page


def test_the_page_says_what_was_not_tried():
    faults = [Fault("a.py", "1", "2", "one is two", ("t",)) for _ in range(3)]
    page = format_page(list(zip(faults, (NOTICED, UNTRIED, UNTRIED), strict=True)))
    assert "1 of 1 faults were noticed. 2 were not tried." in page
    assert page.count("| not tried |") == 2


def test_a_mutation_that_changes_no_value_is_shown_with_the_reason():
    (made, reason), *_ = EQUIVALENT.items()
    mutations = [Mutation("a.py", 2, f"-x = 1\n+    {made}\n", False)]
    page = format_page([], mutations)
    assert f"`a.py` line 2: {reason}\n" in page
    assert "1 change no value; of\nthe other 0 " in page


def test_what_annotations_say_is_not_mutated():
    text = (
        "x: int | None = 1 | 2\n\n\ndef f(a: str | None, b=3) -> int | None:\n    return a or b\n"
    )
    lines = text.splitlines()
    found = [lines[begin[0] - 1][begin[1] : end[1]] for begin, end in find_annotations(text)]
    assert sorted(found) == ["int | None", "int | None", "str | None"]


@pytest.mark.parametrize("module", TARGETS)
def test_modules_that_are_mutated_and_their_tests_are_there(module):
    assert (REPOSITORY / module).is_file()
    assert TARGETS[module]
    assert all((REPOSITORY / name).is_file() for name in TARGETS[module])
