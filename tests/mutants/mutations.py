"""Mutations that Cosmic Ray makes of modules that decide numbers: a sample, and what survives.

https://cosmic-ray.readthedocs.io. A mutation is one operator, number, comparison or statement
changed; many mean nothing (a message, a type, an order that does not matter), so that no share is
asked for: the page shows each that survived, to be read.
"""

import ast
import hashlib
import subprocess
import sys
from dataclasses import dataclass

TARGETS = {
    "ingest/boxes.py": ["tests/unit/ingest/test_boxes.py"],
    "ingest/labels.py": ["tests/unit/ingest/test_labels.py"],
    "ingest/masks.py": ["tests/unit/ingest/test_masks.py"],
    "ingest/pairing.py": ["tests/unit/ingest/test_pairing.py"],
    "ingest/patients.py": ["tests/unit/ingest/test_patients.py"],
    "ingest/published.py": ["tests/unit/ingest/test_published.py"],
    "ingest/regions.py": ["tests/unit/ingest/test_regions.py"],
    "ingest/sizes.py": ["tests/unit/ingest/test_sizes.py"],
    "ingest/windows.py": ["tests/unit/ingest/test_windows.py"],
    "restore/controls.py": ["tests/unit/restore/test_controls.py"],
    "restore/resampling.py": ["tests/unit/restore/test_resampling.py"],
    "restore/tiles.py": ["tests/unit/restore/test_tiles.py"],
    "restore/variants.py": ["tests/unit/restore/test_variants.py"],
}
"""Modules whose tests take seconds, and those tests."""

EQUIVALENT = {
    "found = np.flatnonzero(np.bincount(image.grey.ravel(), minlength= 255))": (
        "asks only which values occur, of which 255 is one whatever the least length"
    ),
    "files = walk_files(folder, [place for place in others if place > folder])": (
        "a folder below another is the greater of the two, and one beside it decides nothing"
    ),
    "depth = min((len(file.parts) for file in candidates), default= 1)": (
        "of no candidates none is the nearest, at whatever depth"
    ),
    "missing = sorted(known ^ found)": "what was found is a part of what is known",
    "chunk = stream.read(1 + 16)": "reads the same bytes, in more pieces",
    "dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=False)": (
        "the columns were made of the same rows, and are of one length"
    ),
    "size = 2 >> int(np.ceil(4 * sigma_px)) + 1": (
        "is 0, for which OpenCV takes the size from sigma: the same Gaussian to a grey level"
    ),
    "return np.where(value < 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)": (
        "the two branches meet at that value"
    ),
    "@dataclass(frozen=False)": "nothing assigns to it",
    "MAX_CELLS = 2 << 22": "a bound against hostile files, of which twice is as good",
    'hints.append(f"{name} (did you mean {near[ -1]}?)" if near else name)': (
        "one name at most is near, the first and the last"
    ),
    'if image.ndim == 2 or grey_rule <= "keep":': "no rule's name comes before keep",
}
"""Why a mutation changes no value: by the line that it makes."""

SAMPLED = 300
TIMEOUT_S = 120
SKIPPED_OPERATOR = "core/RemoveDecorator"


@dataclass(frozen=True)
class Mutation:
    """One mutation, and whether a test failed.

    Attributes
    ----------
    file : str
    line : int
    diff : str
        As ``diff -u`` spells it.
    is_noticed : bool
    """

    file: str
    line: int
    diff: str
    is_noticed: bool

    @property
    def reason(self):
        """Why it changes no value, or None where a test should have noticed."""
        made = [line[1:].strip() for line in self.changed_lines if line.startswith("+")]
        return EQUIVALENT.get(" ".join(made))

    @property
    def changed_lines(self):
        """Lines of the diff that say what changed."""
        return [
            line
            for line in self.diff.splitlines()
            if line.startswith(("+", "-")) and not line.startswith(("+++", "---"))
        ]


def try_mutations(copy, environment, targets=TARGETS, sampled=SAMPLED):
    """Try a sample of all mutations of some modules.

    Parameters
    ----------
    copy : Path
        Of the repository; its modules are written over and put back.
    environment : dict
        In which Python finds the copy's packages first.
    targets : dict of str to list of str
        Tests by module.
    sampled : int
        Mutations in all; which ones depends on nothing but their module, operator and place.

    Returns
    -------
    list of Mutation

    Raises
    ------
    RuntimeError
        A module's tests fail without a mutation.
    """
    for module, tests in targets.items():
        _write_session(copy, environment, module, tests)
    chosen = _choose(copy, targets, sampled)
    tried = []
    for module in targets:
        _call(copy, environment, "baseline", _name(module, "toml"))
        tried += _execute(copy, environment, module, chosen[module])
    return tried


def _name(module, ending):
    return f"{module.replace('/', '.')}.{ending}"


def _call(copy, environment, *arguments):
    command = [sys.executable, "-m", "cosmic_ray.cli", *arguments]
    run = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {run.stdout[-2000:]}{run.stderr[-2000:]}")


def _write_session(copy, environment, module, tests):
    command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {' '.join(tests)}"
    config = [
        "[cosmic-ray]",
        f'module-path = "{module}"',
        f"timeout = {TIMEOUT_S}.0",
        "excluded-modules = []",
        f'test-command = "{command}"',
        "[cosmic-ray.distributor]",
        'name = "local"',
    ]
    (copy / _name(module, "toml")).write_text("\n".join(config) + "\n")
    _call(copy, environment, "init", _name(module, "toml"), _name(module, "sqlite"))


def _open(copy, module):
    from cosmic_ray.work_db import WorkDB, use_db

    return use_db(str(copy / _name(module, "sqlite")), WorkDB.Mode.open)


def _choose(copy, targets, sampled):
    """Choose the mutations whose hashes are the smallest, over all modules; by job, of each."""
    ranked = []
    for module in targets:
        annotated = find_annotations((copy / module).read_text(encoding="utf-8"))
        with _open(copy, module) as session:
            for item in session.work_items:
                (spec,) = item.mutations
                is_code = not any(begin <= spec.start_pos < end for begin, end in annotated)
                if is_code and spec.operator_name != SKIPPED_OPERATOR:
                    place = f"{module} {spec.operator_name} {spec.occurrence}"
                    ranked.append((hashlib.sha256(place.encode()).hexdigest(), module, item.job_id))
    chosen = {module: set() for module in targets}
    for _, module, job_id in sorted(ranked)[:sampled]:
        chosen[module].add(job_id)
    return chosen


def find_annotations(text):
    """Find where a module says of what type something is: nothing runs there.

    Parameters
    ----------
    text : str
        Of a module that postpones the evaluation of annotations.

    Returns
    -------
    list of tuple
        Begin and end of each, as (line, column), lines from 1 and columns from 0.
    """
    nodes = []
    for node in ast.walk(ast.parse(text)):
        nodes += [getattr(node, "annotation", None), getattr(node, "returns", None)]
    return [
        ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
        for node in nodes
        if node is not None
    ]


def _execute(copy, environment, module, chosen):
    """Run the chosen mutations of a module, and read what came of them."""
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    with _open(copy, module) as session:
        others = [item.job_id for item in session.work_items if item.job_id not in chosen]
        session.set_multiple_results(others, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
    _call(copy, environment, "exec", _name(module, "toml"), _name(module, "sqlite"))
    with _open(copy, module) as session:
        results = dict(session.results)
        return [
            Mutation(
                module,
                item.mutations[0].start_pos[0],
                results[item.job_id].diff or "",
                results[item.job_id].is_killed,
            )
            for item in session.work_items
            if item.job_id in chosen
        ]
