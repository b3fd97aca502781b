"""Campaigns whose marts are rendered over simulated tables: what they ask, count and write."""

from dataclasses import dataclass

import numpy as np

from tests.calibration.shares import COVERAGE_PCT, REJECTION_PCT, format_share

PATIENTS = (5, 10, 15, 30, 100)
SHAPES = ("normal", "skewed")
"""Distributions of patient effects."""

IMAGES = (1, 3)
"""Images of a patient, each number equally often."""


@dataclass(frozen=True)
class Asked:
    """A column of a mart: with `high` the interval that begins there, else a p.

    Attributes
    ----------
    name : str
        As the page has it.
    mart, column : str
        Of an interval its lower end.
    truth : float, optional
        What the interval is to hold; None where the campaign knows it row by row.
    where : str
        Condition on the mart's rows.
    """

    name: str
    mart: str
    column: str
    truth: float | None = None
    where: str = "true"

    @property
    def high(self):
        """The column of the upper end; None of a p."""
        return self.column.replace("_low", "_high") if "_low" in self.column else None

    @property
    def aim(self):
        """Least and greatest share in per cent that is aimed at."""
        return COVERAGE_PCT if self.high else REJECTION_PCT

    def answer(self, connection, truth=None):
        """Ask the mart.

        Parameters
        ----------
        connection : duckdb.DuckDBPyConnection
        truth : float, optional
            In place of the question's own.

        Returns
        -------
        list of bool
            One a row that has an answer: whether its interval holds the truth, or its p is below
            0.05.
        """
        truth = self.truth if truth is None else float(truth)
        sql = f"{self.column} < 0.05"
        if self.high:
            sql = f"cast({truth!r} as double) between {self.column} and {self.high}"
        rows = connection.sql(
            f"select {sql} from {self.mart} where {self.where} and {self.column} is not null"
        ).fetchall()
        return [outcome for (outcome,) in rows]


@dataclass(frozen=True)
class Answers:
    """What the studies of one size and shape, build by build, answer to one question."""

    name: str
    patients: int
    shape: str
    builds: tuple
    aim: tuple


def count_answers(ask, asked, sizes, builds, shapes=SHAPES):
    """Simulate builds of every size and shape, and count.

    Parameters
    ----------
    ask : callable
        From patients, shape and number of the build to a dict: by name of a question the list of
        its answers.
    asked : iterable of Asked
    sizes : iterable of int
        Numbers of patients.
    builds : int
    shapes : iterable of str

    Returns
    -------
    list of Answers
    """
    counts = []
    for patients in sizes:
        for shape in shapes:
            made = [ask(patients, shape, build) for build in range(builds)]
            for question in asked:
                found = [
                    (sum(answers[question.name]), len(answers[question.name])) for answers in made
                ]
                counts.append(Answers(question.name, patients, shape, tuple(found), question.aim))
    return counts


def draw_patients(patients, shape, build):
    """Begin a build: its generator, and how many images each patient has.

    Parameters
    ----------
    patients : int
    shape : {"normal", "skewed"}
    build : int

    Returns
    -------
    generator : numpy.random.Generator
    patient : numpy.ndarray of int
        The patient of each image, 0 to ``patients - 1``.
    """
    generator = np.random.default_rng([patients, SHAPES.index(shape), build])
    count = generator.integers(*IMAGES, endpoint=True, size=patients)
    return generator, np.repeat(np.arange(patients), count)


def draw_effects(generator, shape, size):
    """Draw patient effects of mean 0 and standard deviation 1.

    Parameters
    ----------
    generator : numpy.random.Generator
    shape : {"normal", "skewed"}
    size : int or tuple of int

    Returns
    -------
    numpy.ndarray
    """
    if shape == "normal":
        return generator.standard_normal(size)
    return generator.standard_exponential(size) - 1


def format_tables(counts, of_shape="Patient effects: {}."):
    """Format a table for each shape, a row for each question.

    Parameters
    ----------
    counts : list of Answers
    of_shape : str
        Says of a table which shape it is of.

    Returns
    -------
    str
    """
    sizes = list(dict.fromkeys(count.patients for count in counts))
    most = round(max(sum(studies for _, studies in count.builds) for count in counts))
    lines = []
    for shape in dict.fromkeys(count.shape for count in counts):
        lines += [
            *([""] if lines else []),
            of_shape.format(shape),
            "",
            "| what | " + " | ".join(f"{patients} patients" for patients in sizes) + " |",
            "|---|" + "---:|" * len(sizes),
        ]
        own = [count for count in counts if count.shape == shape]
        for name in dict.fromkeys(count.name for count in own):
            cells = [
                format_share(count.builds, count.aim, most) for count in own if count.name == name
            ]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
