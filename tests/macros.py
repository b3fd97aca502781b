"""The project's macros and dbt models, rendered without dbt."""

import re
from pathlib import Path

import duckdb
import jinja2

_MACRO = re.compile(r"\{%-? macro (\w+)\((.*?endmacro -?%\})", re.DOTALL)
PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"


def make_environment(*files, **known):
    """Give a Jinja environment that knows some of the project's macros, and dbt's `ref` and `var`.

    Parameters
    ----------
    files : str
        Files of macros, without suffix. What they call may stand in any of them, or be `known`.
    known : object
        More that macros and models may name.

    Returns
    -------
    jinja2.Environment
        Its `globals` are the macros, by name. As under dbt, one that returns a value gives it; any
        other gives its text.
    """
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    returned = []

    def keep(value):
        returned.append(value)
        return ""

    def unwrap(template):
        def call(*arguments, **named):
            before = len(returned)
            # Made anew, for a module knows what was known when it was made.
            text = template.make_module().own(*arguments, **named)
            values = returned[before:]
            del returned[before:]
            return values[-1] if values else text

        return call

    environment.globals |= {"ref": lambda name: name, "var": {"min_clusters": 5}.get}
    environment.globals |= {"return": keep}
    # One at a time: macros of one template would call each other past the globals. By a name of
    # our own: a template keeps to itself what begins with an underscore.
    for name, rest in (found for file in files for found in _MACRO.findall(read_macros(file))):
        template = environment.from_string("{% macro own(" + rest)
        environment.globals[name] = unwrap(template)
    environment.globals |= known
    return environment


def make_renderer(sql, macros, **known):
    """Give a function from a dbt model's name to its SQL, rendered without dbt.

    Parameters
    ----------
    sql : dict
        File by name, within ``dbt_project/models``.
    macros : iterable of str
        Files of macros that they call, without suffix.
    known : object
        More that they may name.

    Returns
    -------
    callable
    """
    environment = make_environment(*macros, **known)
    return lambda name: environment.from_string(
        (PROJECT / "models" / sql[name]).read_text(encoding="utf-8")
    ).render()


def read_macros(name):
    """Read a file of macros, named without suffix."""
    return (PROJECT / f"macros/{name}.sql").read_text(encoding="utf-8")


def read_constants():
    """Give the constants of `macros/constants.sql` by name, each value as DuckDB reckons it."""
    constants = make_environment("constants").globals["constants"]()
    with duckdb.connect() as connection:  # of its own: the module's is everybody's
        for facts in constants.values():
            query = f"select cast({facts['value']} as double)"
            ((facts["value"],),) = connection.sql(query).fetchall()
    return constants
