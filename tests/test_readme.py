"""The README's example runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

import classy_pm as cpm


@pytest.mark.slow
def test_the_twenty_lines_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "README.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    # Fewer draws than the default of a thousand: what is looked at is that each line does what it says.
    monkeypatch.setattr(cpm.NUTS, "_declared", {**cpm.NUTS._declared, "draws": 200, "tune": 300, "chains": 2})
    names: dict = {}
    exec(code, names)
    best = names["result"].max_log_likelihood_instance
    assert isinstance(best, names["Gaussian"])
    np.testing.assert_allclose([best.centre, best.intensity, best.sigma], [50.0, 25.0, 10.0], rtol=0.05)
    assert "log_likelihood" in names["result"].idata.children and (tmp_path / "fits.sqlite").exists()
