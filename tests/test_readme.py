"""The code in the README and in the guides runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

import classy_pm as cpm

ROOT = Path(__file__).parents[1]


def code_of(name):
    return "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL))


@pytest.mark.parametrize(
    "name",
    [
        "docs/models.md",
        "docs/chaining.md",
        "docs/graphs.md",
        "docs/studies.md",
        "docs/populations.md",
        "docs/catalogue.md",
    ],
)
def test_the_code_of_a_guide_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(code_of(name), {"__name__": "guide"})


def test_the_twenty_lines_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Fewer draws than the default of a thousand: what is looked at is that each line does what it says.
    monkeypatch.setattr(cpm.NUTS, "_declared", {**cpm.NUTS._declared, "draws": 200, "tune": 300, "chains": 2})
    names: dict = {}
    exec(code_of("README.md"), names)
    best = names["result"].max_log_likelihood_instance
    assert isinstance(best, names["Gaussian"])
    np.testing.assert_allclose([best.centre, best.intensity, best.sigma], [50.0, 25.0, 10.0], rtol=0.05)
    assert "log_likelihood" in names["result"].idata.children and (tmp_path / "fits.sqlite").exists()
