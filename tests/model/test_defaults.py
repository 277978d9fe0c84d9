"""Default priors from YAML: exact names, along the bases, the reference's entries as they stand."""

import sys
import types

import pytest

import classy_pm.config
from classy_pm.config import ConfigError
from classy_pm.model import Collection, GaussianPrior, LogUniformPrior, Model, UniformPrior

YAML = """
Gaussian:
  centre:
    type: Uniform
    lower_limit: 0.0
    upper_limit: 100.0
    width_modifier:
      type: Absolute
      value: 20.0
    limits:
      lower: -inf
      upper: inf
  intensity:
    type: LogUniform
    lower_limit: 1e-6
    upper_limit: 1000000.0
    width_modifier:
      type: Relative
      value: 0.5
  sigma:
    type: TruncatedGaussian
    mean: 10.0
    sigma: 5.0
    lower_limit: 0.0
    upper_limit: inf
Wide:
  sigma:
    type: Constant
    value: 20.0
Light:
  centre_0: {type: Gaussian, mean: 0.0, sigma: 0.3}
  centre_1: {type: Deferred}
"""


@pytest.fixture
def profiles(tmp_path, monkeypatch):
    """A module `package.profiles` with classes, and a configuration folder for it."""
    module = types.ModuleType("package.profiles")
    exec(
        "class Gaussian:\n"
        "    def __init__(self, centre=0.0, intensity=0.1, sigma=0.01): ...\n"
        "class XGaussian:\n"
        "    def __init__(self, centre=0.0, intensity=0.1, sigma=0.01): ...\n"
        "class Wide(Gaussian): ...\n"
        "class Light:\n"
        "    def __init__(self, centre: tuple[float, float] = (0.0, 0.0)): ...\n",
        vars(module),
    )
    monkeypatch.setitem(sys.modules, "package.profiles", module)
    folder = tmp_path / "config" / "priors" / "package"
    folder.mkdir(parents=True)
    (folder / "profiles.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    return module


def test_the_references_entries_are_understood(profiles):
    model = Model(profiles.Gaussian)
    assert isinstance(model.centre, UniformPrior) and model.centre.limits == (0.0, 100.0)
    assert isinstance(model.intensity, LogUniformPrior) and model.intensity.limits == (1e-6, 1e6)
    assert isinstance(model.sigma, GaussianPrior) and model.sigma.limits == (0.0, float("inf"))
    assert (model.centre.width_modifier.kind, model.centre.width_modifier.value) == ("Absolute", 20.0)
    assert model.intensity.width_modifier.kind == "Relative"
    assert model.centre.chained_limits == (-float("inf"), float("inf"))


def test_each_model_has_parameters_of_its_own(profiles):
    assert Collection(a=profiles.Gaussian, b=profiles.Gaussian).total_free_parameters == 6


def test_names_match_exactly_and_never_by_suffix(profiles):
    assert repr(Model(profiles.XGaussian).centre) == "no prior yet"


def test_a_class_has_the_entries_of_its_bases_and_its_own_before_them(profiles):
    model = Model(profiles.Wide)
    assert model.sigma == 20.0 and isinstance(model.centre, UniformPrior)


def test_the_numbers_of_a_tuple_have_entries_of_their_own(profiles):
    model = Model(profiles.Light)
    assert isinstance(model.centre_0, GaussianPrior) and repr(model.centre_1) == "no prior yet"


def test_the_models_own_setting_and_the_class_come_before_the_files(profiles):
    assert Model(profiles.Gaussian, centre=1.0).centre == 1.0


def test_a_changed_file_is_read_again_and_another_folder_can_be_chosen(profiles, tmp_path):
    other = tmp_path / "other"
    (other / "priors").mkdir(parents=True)
    (other / "priors" / "any.yaml").write_text(
        "package.profiles.Gaussian:\n  centre: {type: Uniform, lower_limit: 5.0, upper_limit: 6.0}\n"
    )
    classy_pm.config.use(other)
    try:
        assert Model(profiles.Gaussian).centre.limits == (5.0, 6.0)
    finally:
        classy_pm.config.use()
    with pytest.raises(ConfigError, match="is no folder"):
        classy_pm.config.use(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{type: Unifrom, lower_limit: 0.0}", "Uniform"),
        ("{type: Uniform, lowr_limit: 0.0}", "lower_limit"),
        ("{type: Uniform, lower_limit: 1.0, upper_limit: 0.0}", "not below"),
        ("{type: Gaussian, mean: zero, sigma: 1.0}", "cannot be a prior"),
        ("{type: Uniform, width_modifier: {type: Tiny, value: 1.0}}", "no width"),
        ("[1, 2", "not YAML"),
        ("{type: [1]}", "unknown type"),
        ("{type: {a: 1}}", "unknown type"),
        ("{type: Uniform, 3: 1.0}", "no argument `3`"),
        ("{type: Uniform}\n  3: {type: Uniform}", "`3` is not a name"),
    ],
)
def test_a_faulty_entry_names_the_file_and_the_cure(profiles, tmp_path, entry, words):
    path = tmp_path / "config" / "priors" / "package" / "profiles.yaml"
    path.write_text(f"Gaussian:\n  sigma: {{type: Uniform}}\n  centre: {entry}\n")
    with pytest.raises(ConfigError) as caught:
        Model(profiles.Gaussian)
    assert words in str(caught.value) and "profiles.yaml" in str(caught.value)
