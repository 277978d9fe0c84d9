"""The files around the code agree with it and with each other."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import classy_pm

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"arviz", "matplotlib", "numba", "pymc", "pytensor", "sqlalchemy", "xarray"}

# Joined here, so that this file does not contain them itself.
REGISTRY_HOSTS = [
    ".".join(host)
    for host in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("anaconda", "org"),
        ("anaconda", "com"),
        ("npmjs", "org"),
        ("crates", "io"),
    ]
]
LOCAL_PATH = re.compile(r"(?<![\w.~<>-])/(?:home|root|work|Users)/")


def public_imports():
    """Return name -> module of the imports under `if TYPE_CHECKING:` in the package's `__init__`."""
    tree = ast.parse(Path(classy_pm.__file__).read_text(encoding="utf-8"))
    (block,) = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {alias.name: node.module for node in block.body for alias in node.names}


def files_in_repository():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_import_loads_no_heavy_module():
    code = "import classy_pm, sys; print(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert HEAVY.isdisjoint(finished.stdout.split())


def test_a_search_that_needs_no_graph_loads_no_pymc():
    code = "import classy_pm, sys; classy_pm.Emcee(), classy_pm.NUTS(); print(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {"pymc", "pytensor"}.isdisjoint(finished.stdout.split())


@pytest.mark.parametrize("name", classy_pm.__all__)
def test_public_name_resolves(name):
    assert getattr(classy_pm, name).__name__.rpartition(".")[2] == name


def test_public_names_are_sorted_acronyms_classes_functions():
    in_order = sorted(classy_pm.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    assert classy_pm.__all__ == in_order


def test_public_names_have_a_home_and_an_import_for_type_checkers():
    assert sorted(classy_pm._HOMES) == sorted(classy_pm.__all__)
    assert public_imports() == classy_pm._HOMES


def test_public_names_are_all_in_the_reference():
    text = (ROOT / "docs/reference/index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(classy_pm.__all__)


def test_dir_lists_the_public_names_and_the_version():
    assert {*classy_pm.__all__, "__version__"} <= set(dir(classy_pm))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Modell'"):
        classy_pm.Modell  # noqa: B018


def test_a_name_that_others_have_is_told_with_ours():
    with pytest.raises(AttributeError, match="called 'GaussianPrior' here"):
        classy_pm.NormalPrior  # noqa: B018


def test_version_is_the_one_in_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert classy_pm.__version__ == project["version"]


def test_environment_yml_has_the_dependencies_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    here = {str(Requirement(line)) for line in environment["dependencies"]}
    there = {str(Requirement(line)) for line in project["dependencies"]}
    assert here == there | {"python" + project["requires-python"], "pip"}


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    found = []
    for path in files_in_repository():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a data file
        for number, line in enumerate(text.splitlines(), start=1):
            if LOCAL_PATH.search(line) or any(host in line for host in REGISTRY_HOSTS):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def test_no_lock_file_is_recorded():
    names = {path.name for path in files_in_repository()}
    assert names.isdisjoint({"uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock"})


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_documents_name_only_targets_that_the_makefile_has(document):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`)\s*(?:\$ )?make ([a-z-]+)", text, flags=re.MULTILINE)
    assert {"demo", "test", "lint", "docs", "help"} <= targets
    assert set(named) <= targets


def test_readme_names_the_two_commands_that_set_everything_up():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text
