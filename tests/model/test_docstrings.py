"""The examples in the docstrings of the model's modules run, and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import classy_pm.config
import classy_pm.model

MODULES = [f"classy_pm.model.{module.name}" for module in pkgutil.iter_modules(classy_pm.model.__path__)]


@pytest.mark.parametrize("name", [*MODULES, "classy_pm.config"])
def test_the_examples_of_the_docstrings_run(name):
    # Each example makes do with the names of its own module and what it imports itself.
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
