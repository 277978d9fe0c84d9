"""Maps of how bright a second line must be to be found."""

import numpy as np
import pytest
from spectra import Line, Spectrum, X, data_of, line, quick, spectrum

import classy_pm as cpm
from classy_pm.errors import LikelihoodError, ModelError, SettingError, StudyError

SEARCH = cpm.DynestyStatic(nlive=30, random_seed=1)


class Simulating(Spectrum):
    def simulate(self, instance, rng):
        return Spectrum(rng.normal(spectrum(instance), self.noise), self.noise)


class Raw(Spectrum):
    def simulate(self, instance, rng):
        return rng.normal(0.0, self.noise, self.data.size)


class Careless(Simulating):
    """Has noise of its own."""

    def simulate(self, instance, rng):
        return super().simulate(instance, np.random.default_rng())


class Forgetful(Spectrum):
    """Simulates the base alone."""

    def simulate(self, instance, rng):
        return Spectrum(rng.normal(instance["main"].spectrum(X), self.noise))


class Fragile(Simulating):
    """Cannot simulate bright lines."""

    def simulate(self, instance, rng):
        if instance["perturb"].flux > 3.0:
            raise FloatingPointError("too bright for the detector")
        return super().simulate(instance, rng)


def base():
    return cpm.Collection(main=line(flux=5.0, width=2.0))


def second_line(**more):
    model = cpm.Model(Line, centre=22.0, width=1.5)
    model.flux = cpm.LogUniformPrior(0.01, 10.0)
    for name, prior in more.items():
        setattr(model, name, prior)
    return model


def mapping(search=None, analysis=None, perturbation=None, **settings):
    return cpm.SensitivityMapping(
        base_model=base(),
        perturb_model=second_line() if perturbation is None else perturbation,
        base_instance=cpm.Collection(main=Line(10.0, 5.0, 2.0)),
        analysis=Simulating(np.zeros(30)) if analysis is None else analysis,
        search=quick() if search is None else search,
        **{"number_of_steps": 3, "random_seed": 3, **settings},
    )


@pytest.fixture(scope="module")
def nested():
    return mapping(SEARCH, number_of_repeats=2).run()


def test_a_bright_line_is_found_and_a_faint_one_is_not(nested):
    gain = nested.log_evidence_differences
    assert gain.dims == ("perturb.flux",)
    np.testing.assert_allclose(gain["perturb.flux"], 10.0 ** np.array([-1.5, -0.5, 0.5]))
    assert float(gain[0]) < 1.0 and float(gain[2]) > 50.0
    np.testing.assert_array_equal(nested.detected(), nested.detected(5.0))
    assert nested.detected().values[[0, 2]].tolist() == [0.0, 1.0]
    assert np.all(nested.log_likelihood_differences > -0.5), "the richer model can do what the base can"


def test_the_dataset_has_every_number_and_the_differences_are_theirs(nested):
    dataset = nested.dataset
    assert dataset.log_evidence.dims == ("perturb.flux", "repeat", "model")
    assert dataset["model"].values.tolist() == ["base", "perturbed"]
    for place in range(3):
        base_fit, richer = nested.results(place, repeat=1)
        numbers = dataset.isel({"perturb.flux": place, "repeat": 1})
        assert base_fit.log_evidence == float(numbers.log_evidence.sel(model="base"))
        assert richer.log_evidence == float(numbers.log_evidence.sel(model="perturbed"))
        assert base_fit.samples.names == ["main.centre"]
        assert richer.samples.names == ["main.centre", "perturb.flux"]
    each = dataset.log_evidence.sel(model="perturbed") - dataset.log_evidence.sel(model="base")
    np.testing.assert_allclose(nested.log_evidence_differences, each.mean("repeat"))
    np.testing.assert_allclose(nested.log_evidence_scatter, each.std("repeat", ddof=1))


def test_the_richer_model_has_the_whole_prior_of_the_perturbation():
    found = mapping()
    assert found.model.perturb.flux.limits == (0.01, 10.0)
    assert found.model.main is found.base_model.main


def test_what_is_simulated_depends_on_the_seed_the_cell_and_the_repeat_alone():
    whole, masked = mapping(), mapping(mask=[True, False, False])
    np.testing.assert_array_equal(whole.simulated((1,)).data, masked.simulated((1,)).data)
    other = [mapping(random_seed=4).simulated((1,)), whole.simulated((1,), 1), whole.simulated((2,))]
    for simulated in other:
        assert np.min(np.abs(simulated.data - whole.simulated((1,)).data)) > 0.0
    noise = whole.simulated((2,)).data - data_of(Line(10.0, 5.0, 2.0), Line(22.0, 10**0.5, 1.5), noise=1e-12)
    assert 0.05 < np.std(noise) < 0.2


def test_masked_cells_are_left_out_and_others_are_the_same():
    perturbation = second_line(centre=cpm.UniformPrior(15.0, 30.0))
    mask = np.zeros((2, 2), dtype=bool)
    mask[0, 1] = True
    whole = mapping(perturbation=perturbation, number_of_steps=2).run()
    found = mapping(perturbation=perturbation, number_of_steps=2, mask=mask).run()
    gain = found.log_likelihood_differences
    assert gain.dims == ("perturb.centre", "perturb.flux") and np.isnan(gain[0, 1])
    np.testing.assert_array_equal(gain.values[~mask], whole.log_likelihood_differences.values[~mask])
    with pytest.raises(StudyError, match="was left out"):
        found.results((0, 1))
    panel = found.plot(threshold=1.0).axes[0]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("perturb.centre", "perturb.flux")
    assert len(panel.collections) == 2, "the map, and the contour from which a line is found"


def test_each_fit_is_filed_with_its_parent_and_read_again(tmp_path):
    place = tmp_path / "map.sqlite"
    found = mapping(quick(name="map")).run(catalog=place)
    aggregator = cpm.Aggregator.from_database(place)
    fits = list(aggregator.query(aggregator.fit.parent_key == found.identifier))
    assert sorted((fit.name, fit.grid_index) for fit in fits) == [
        (f"map {what}", index) for what in ("base", "perturbed") for index in range(3)
    ]
    assert {fit.kind for fit in fits} == {"sensitivity"}
    again = mapping(quick(name="map")).run(catalog=place)
    assert len(cpm.Catalog(place)) == 6 and again.identifier == found.identifier
    np.testing.assert_array_equal(again.log_likelihood_differences, found.log_likelihood_differences)
    # With more repeats those that are there stay.
    more = mapping(quick(name="map"), number_of_repeats=2).run(catalog=place)
    assert len(cpm.Catalog(place)) == 12
    first = more.dataset.isel(repeat=0)
    np.testing.assert_array_equal(first.log_likelihood, found.dataset.isel(repeat=0).log_likelihood)


def test_without_a_seed_the_noise_is_the_same_each_time():
    one, other = mapping(random_seed=None), mapping(random_seed=None)
    np.testing.assert_array_equal(one.simulated((0,)).data, other.simulated((0,)).data)


def test_a_cell_that_cannot_be_simulated_fails_alone():
    with pytest.warns(UserWarning, match=r"2 of 6 fits failed.*\n.*too bright for the detector"):
        found = mapping(analysis=Fragile(np.zeros(30))).run()
    assert np.isnan(found.log_likelihood_differences[2]) and len(found.failures) == 2
    assert np.all(np.isfinite(found.log_likelihood_differences[:2]))


def test_the_map_of_one_parameter_has_the_line_from_which_it_is_found(nested):
    panel = nested.plot().axes[0]
    assert panel.get_xscale() == "log" and panel.get_xlabel() == "perturb.flux"
    assert panel.get_ylabel() == "difference of log evidence"
    assert any(np.all(np.asarray(drawn.get_ydata()) == 5.0) for drawn in panel.lines)


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"analysis": Spectrum(np.zeros(30))}, SettingError, "has no simulate"),
        ({"perturbation": 3.0}, SettingError, "perturb_model: 3.0 is no model"),
        ({"number_of_repeats": 0}, SettingError, "number_of_repeats: 0 is no positive integer"),
        ({"random_seed": -1}, SettingError, "random_seed: -1 is no integer from 0"),
        ({"mask": [True, True, True]}, SettingError, "mask"),
        ({"mask": [[False] * 3]}, SettingError, "mask"),
        ({"mask": [0, 1, 0]}, SettingError, "mask"),
        ({"number_of_steps": 0}, SettingError, "number_of_steps"),
        ({"perturbation": second_line(flux=cpm.GammaPrior(2.0, 1.0))}, ModelError, "cannot be truncated"),
    ],
)
def test_what_cannot_be_mapped_is_refused(settings, kind, words):
    with pytest.raises(kind, match=words):
        mapping(**settings)


def test_all_faults_are_told_at_once():
    with pytest.raises(SettingError) as caught:
        cpm.SensitivityMapping(line(), 1.0, None, None, None)
    for name in ("base_model", "perturb_model", "analysis", "search"):
        assert f"  - {name}: " in str(caught.value)


def test_a_perturbation_has_parameters_of_its_own():
    with pytest.raises(ModelError, match="perturb_model has no free parameter"):
        mapping(perturbation=cpm.Model(Line, centre=22.0, flux=1.0, width=1.5))
    shared = base()
    perturbation = second_line(centre=shared.main.centre)
    with pytest.raises(ModelError, match=r"perturb\.centre: is the same parameter as main\.centre"):
        cpm.SensitivityMapping(
            shared, perturbation, cpm.Collection(main=Line(10.0, 5.0, 2.0)), Simulating(np.zeros(30)), quick()
        )


@pytest.mark.parametrize(
    "instance", [Line(1.0, 2.0, 3.0), cpm.Collection(other=Line(1.0, 2.0, 3.0)), cpm.Collection(main=line())]
)
def test_a_base_instance_has_the_parts_of_the_base_model(instance):
    with pytest.raises(ModelError, match="base_instance"):
        cpm.SensitivityMapping(base(), second_line(), instance, Simulating(np.zeros(30)), quick())


def test_noise_comes_from_the_generator_that_is_given():
    with pytest.raises(LikelihoodError, match="returns other data for the same instance and the same rng"):
        mapping(analysis=Careless(np.zeros(30))).run()
    with pytest.warns(UserWarning, match=r"the same data wherever the perturbation is.*instance\.perturb"):
        mapping(analysis=Forgetful(np.zeros(30)), number_of_steps=1).run()


def test_arguments_that_the_constructor_does_not_have_are_told_with_the_right_call():
    with pytest.raises(
        SettingError, match=r"SensitivityMapping cannot be called like this(.|\n)*\.run\(catalog"
    ):
        mapping(catalog="map.sqlite")


def test_simulated_data_are_an_analysis():
    with pytest.raises(LikelihoodError, match="simulate returned a ndarray, no analysis"):
        mapping(analysis=Raw(np.zeros(30))).simulated((0,))
