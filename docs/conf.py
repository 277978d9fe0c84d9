"""Configuration of the documentation: `make docs`."""

import classy_pm

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
