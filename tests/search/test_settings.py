"""Settings of a search: declared, checked, and nobody else's."""

import inspect

import numpy as np
import pytest

import classy_pm as cpm
from classy_pm import config
from classy_pm.errors import SettingError


def test_unknown_settings_and_wrong_types_are_told_at_once_with_the_near_name():
    with pytest.raises(SettingError) as caught:
        cpm.NUTS(drawz=100, tune="many", chains=True)
    text = str(caught.value)
    assert "drawz" in text and "`draws`" in text and "tune" in text and "chains" in text


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cpm.NUTS(500), "write draws=500"),
        (lambda: cpm.Emcee(nwalkers="50"), "write nwalkers=50"),
        (lambda: cpm.NUTS(target_accept="0.9"), "write target_accept=0.9"),
        (lambda: cpm.Emcee(initializer="ball"), r"write initializer=InitializerBall\(\.\.\.\)"),
        (lambda: cpm.Nautilus(periodic="planet.phase"), r"write periodic=\['planet.phase'\]"),
        (lambda: cpm.NUTS(periodic=["phase"]), "it is one of DynestyDynamic, DynestyStatic, Nautilus"),
        (lambda: cpm.NUTS(path_prefix="here"), "catalog="),
        (lambda: cpm.NUTS(iterations_per_update=100), "checkpoint_interval="),
    ],
)
def test_what_is_meant_is_told_with_what_to_write(make, words):
    with pytest.raises(SettingError, match=words):
        make()


@pytest.mark.parametrize(
    "settings", [{"draws": 0}, {"target_accept": 1.0}, {"mass_matrix": "dense"}, {"number_of_cores": 0}]
)
def test_values_that_cannot_be_are_refused(settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        cpm.NUTS(**settings)


def test_one_search_does_not_change_anothers_settings():
    first = cpm.NUTS(draws=10)
    second = cpm.NUTS()
    assert (first.draws, second.draws, cpm.NUTS.draws) == (10, 1000, 1000)


def test_the_signature_names_the_settings():
    assert {"draws", "random_seed", "name"} <= set(inspect.signature(cpm.NUTS).parameters)


def test_numpy_numbers_are_plain_numbers():
    search = cpm.Emcee(nwalkers=np.int64(20), nsteps=np.int32(5))
    assert type(search.nwalkers) is int and search.settings == cpm.Emcee(nwalkers=20, nsteps=5).settings


def test_initializers_and_convergence_settings_are_checked():
    with pytest.raises(SettingError):
        cpm.InitializerBall(lower_limit=0.6, upper_limit=0.5)
    with pytest.raises(SettingError):
        cpm.AutoCorrelationsSettings(check_size=0)


@pytest.fixture
def configure(tmp_path):
    def write(text):
        (tmp_path / "search").mkdir(exist_ok=True)
        (tmp_path / "search" / "mine.yaml").write_text(text)
        config.use(tmp_path)

    yield write
    config.use()


def test_defaults_come_from_the_users_files_and_what_is_given_counts_more(configure):
    configure(
        "Search: {number_of_cores: 2}\n"
        "NUTS: {draws: 50, target_accept: 9e-1, number_of_cores: 3}\n"
        "Emcee:\n"
        "  initializer: {InitializerBall: {lower_limit: 0.4, upper_limit: 0.6}}\n"
        "  auto_correlations_settings: {check_size: 7}\n"
    )
    nuts, emcee = cpm.NUTS(tune=20), cpm.Emcee()
    assert (nuts.draws, nuts.tune, nuts.target_accept, nuts.number_of_cores) == (50, 20, 0.9, 3)
    assert cpm.NUTS(draws=60).draws == 60 and cpm.NUTS.draws == 1000
    assert emcee.number_of_cores == 2 and emcee.initializer == cpm.InitializerBall(0.4, 0.6)
    assert emcee.auto_correlations_settings.check_size == 7
    config.use()
    assert cpm.NUTS().draws == 1000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NUTS: {drawz: 5}", "draws"),
        ("NUTS: {draws: many}", "draws"),
        ("NUTS: [draws]", "by name"),
        ("- NUTS", "searches"),
        ("Emcee: {initializer: {InitializerBall: {low: 1}}}", "InitializerBall"),
        ("NUTS: {draws: -3}", "above zero"),
        ("NUTZ: {draws: 3}", "NUTZ: is no search. Did you mean `NUTS`"),
        ("emcee: {nwalkers: 30}", "emcee: is no search. Did you mean `Emcee`"),
        ("1: {nwalkers: 30}", "1: is no search"),
        ("DEMetropolisZ: {drawz: 3}", "DEMetropolisZ.drawz: .*`draws`"),
        ("Search: {draws: 3}", "Search.draws: is not a setting of Search"),
        (
            "Emcee: {initializer: {InitializerBal: {lower_limit: 0.4}}}",
            "no `InitializerBal`.\nDid .*`InitializerBall`",
        ),
        ("Emcee: {initializer: InitializerPrio}", "no `InitializerPrio`.\nDid you mean `InitializerPrior`"),
        ("Emcee: {initializer: {lower_limt: 0.4}}", "no `lower_limt`.\nDid you mean `lower_limit`"),
        ("Emcee: {initializer: {InitializerBall: {uper_limit: 1}}}", "uper_limit: .*`upper_limit`"),
        ("Emcee: {initializer: {InitializerBall: 3}}", "by name"),
    ],
)
def test_a_file_that_names_no_setting_or_a_wrong_value_is_told(configure, text, words):
    configure(text)
    with pytest.raises(cpm.ClassyError, match=words):
        cpm.Emcee() if text.startswith("Emcee") else cpm.NUTS()


def test_all_that_a_file_names_wrongly_is_told_at_once_with_the_file(configure):
    configure("Emce: {nwalkers: 3}\nNUTS: {drawz: 3, tun: 4}\n")
    with pytest.raises(config.ConfigError) as caught:
        cpm.Slice()
    assert [fault.partition("mine.yaml: ")[2].split(":")[0] for fault in caught.value.faults] == [
        "Emce",
        "NUTS.drawz",
        "NUTS.tun",
    ]


def test_faults_of_several_kinds_and_files_are_told_at_once(configure, tmp_path):
    configure("Emce: {nwalkers: 3}\n")
    (tmp_path / "search" / "broken.yaml").write_text("NUTS: {draws: [\n")
    (tmp_path / "search" / "other.yaml").write_text("Emcee: {initializer: {InitializerBal: {}}}\n")
    with pytest.raises(config.ConfigError) as caught:
        cpm.Emcee()
    text = str(caught.value)
    assert "broken.yaml is not YAML" in text and "`InitializerBall`" in text and "mine.yaml: Emce" in text


def test_a_search_of_ones_own_may_be_in_a_file_and_an_initializer_by_its_name_alone(configure):
    class Mine(cpm.Emcee):
        pass

    configure("Mine: {nwalkers: 12, initializer: InitializerPrior}\nNUTS:\n")
    assert Mine().nwalkers == 12 and Mine().initializer == cpm.InitializerPrior()
    assert cpm.Emcee().nwalkers != 12
