"""The user's configuration folders: one that was named and is not there is told, with the near one."""

import os

import pytest

import classy_pm as cpm
from classy_pm import config


class Point:
    def __init__(self, x=0.0):
        self.x = x


@pytest.fixture(autouse=True)
def as_before():
    yield
    config.use()


@pytest.mark.parametrize("needed", [cpm.Emcee, lambda: cpm.Model(Point)], ids=["search", "model"])
def test_a_folder_that_the_environment_names_and_that_is_not_there_is_one_error(
    needed, tmp_path, monkeypatch
):
    (tmp_path / "settings").mkdir()
    monkeypatch.setenv("CLASSY_PM_CONFIG", os.pathsep.join([str(tmp_path / "setings"), "/nowhere"]))
    with pytest.raises(config.ConfigError, match="CLASSY_PM_CONFIG") as caught:
        needed()
    first, second = caught.value.faults
    assert first == f"{tmp_path / 'setings'}: is no folder. Did you mean `{tmp_path / 'settings'}`?"
    assert second == "/nowhere: is no folder"


def test_a_folder_given_to_use_must_be_there_then_and_later(tmp_path):
    (tmp_path / "settings").mkdir()
    with pytest.raises(config.ConfigError, match=r"config\.use(?s:.*)Did you mean .*settings`"):
        config.use(tmp_path / "setting")
    config.use(tmp_path / "settings")
    cpm.Emcee()
    (tmp_path / "settings").rmdir()
    with pytest.raises(config.ConfigError, match="settings: is no folder"):
        cpm.Emcee()


def test_the_default_folder_need_not_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLASSY_PM_CONFIG", "")
    assert config.folders() == [tmp_path / "config"]
    cpm.Emcee()
