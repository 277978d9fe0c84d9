"""Configuration of the documentation: `make docs`."""

from collections import Counter
from itertools import groupby
from pathlib import Path

import classy_pm
from classy_pm.likelihood.trace import coverage


def write_traced_functions(path: Path) -> None:
    """Write the table of NumPy's and SciPy's functions from the registry of the trace."""
    rows = sorted(coverage(), key=lambda row: (row.module, row.kind, row.name))
    lines = ["# Traced functions", "", "Made from the registry of `classy_pm.likelihood.trace`.", ""]
    for (module, kind), group in groupby(rows, key=lambda row: (row.module, row.kind)):
        members = list(group)
        counts = ", ".join(
            f"{number} {state}" for state, number in Counter(row.state for row in members).items()
        )
        lines += [
            f"## {module}: {kind}s",
            "",
            f"{counts}.",
            "",
            "| name | state | note |",
            "| --- | --- | --- |",
        ]
        lines += [f"| `{row.name}` | {row.state} | {row.note.replace('|', '/')} |" for row in members]
        lines.append("")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


write_traced_functions(Path(__file__).parent / "reference" / "generated" / "traced_functions.md")

project = "classy_pm"
author = "classy_pm developers"
copyright = "2026, classy_pm developers"
version = release = classy_pm.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's docstrings have the types in words
numpydoc_show_class_members = True
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "classy_pm"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_sidebars = {"index": []}
