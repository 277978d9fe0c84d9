"""Graphs of factors in jax.numpy: equal to those in NumPy, computed side by side, refused by data set."""

import warnings

import cloudpickle
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import classy_pm as cpm
from classy_pm.errors import TraceError, TraceWarning
from classy_pm.likelihood import make_symbolic
from classy_pm.likelihood.jax_groups import make_groups
from classy_pm.likelihood.joint import analysis_of
from classy_pm.plan import make_plan

jax = pytest.importorskip("jax")
jnp = jax.numpy

LENGTHS = (5, 7, 5, 7, 7)


class Line:
    def __init__(self, level=0.0, slope=1.0):
        self.level, self.slope = level, slope


class Plain(cpm.Analysis):
    def __init__(self, name, data, noise):
        self.name, self.data, self.noise = name, data, noise

    def log_likelihood_function(self, line):
        x = np.arange(self.data.size)
        return -0.5 * np.sum(((self.data - line.level - line.slope * x) / self.noise) ** 2)


class InJax(Plain):
    def log_likelihood_function(self, line):
        x = jnp.arange(self.data.size)
        return -0.5 * jnp.sum(((self.data - line.level - line.slope * x) / self.noise) ** 2)


class WithTerms(InJax):
    def log_likelihood_pointwise(self, line):
        x = jnp.arange(self.data.size)
        return -0.5 * ((self.data - line.level - line.slope * x) / self.noise) ** 2


def data_sets(kind, lengths=LENGTHS):
    rng = np.random.default_rng(1)
    return [
        kind(f"star {number}", rng.normal(size=size), 0.5 + number) for number, size in enumerate(lengths)
    ]


def population(analyses):
    """Levels from a parent, slopes that are computed of them, and a width that all share."""
    mean, width = cpm.GaussianPrior(0.0, 1.0), cpm.LogUniformPrior(0.1, 10.0)
    factors = []
    for number, analysis in enumerate(analyses):
        line = cpm.Model(Line, level=cpm.GaussianPrior(mean, width))
        line.slope = np.exp(line.level / 10.0) + (1.0 + number) * width
        factors.append(cpm.AnalysisFactor(line, analysis))
    return cpm.FactorGraphModel(*factors)


def alone(*analyses):
    """A graph whose data sets have nothing in common."""
    lines = [cpm.Model(Line, level=cpm.GaussianPrior(0.0, 1.0), slope=1.0) for _ in analyses]
    return cpm.FactorGraphModel(*map(cpm.AnalysisFactor, lines, analyses))


def read(graph):
    return make_plan(graph), analysis_of(graph, None, "")


def groups(graph):
    """Return the names of the data sets that are computed side by side."""
    return [group.names for group in make_groups(*read(graph))]


def assert_equal_to_functions(graph, kind="jax"):
    """Check the log likelihoods of a graph against the users' functions, and return its likelihood."""
    plan, joint = read(graph)
    compiled = make_symbolic(plan, joint, kind).plain
    for vector in plan.draws(3, 1):
        each = dict(zip(compiled.names, compiled.each_at(vector), strict=True))
        with jax.enable_x64(True):
            expected = joint.each(plan.instance(vector))
        np.testing.assert_allclose([each[name] for name in joint.analyses], expected, rtol=1e-10)
        assert compiled(vector) == pytest.approx(expected.sum(), rel=1e-10)
    return compiled


@pytest.fixture(scope="module")
def symbolic():
    """The population in JAX."""
    return make_symbolic(*read(population(data_sets(WithTerms))), "auto")


@pytest.fixture(scope="module")
def traced():
    """The same in NumPy."""
    return make_symbolic(*read(population(data_sets(Plain))), "trace")


def with_gradient(symbolic):
    inputs = list(symbolic.inputs)
    gradient = pytensor.grad(symbolic.value, inputs, disconnected_inputs="ignore")
    return pytensor.function(
        inputs, [symbolic.value, *gradient], mode="FAST_COMPILE", on_unused_input="ignore"
    )


def test_value_and_gradient_of_a_population_equal_those_of_numpy(symbolic, traced):
    assert symbolic.kind == "jax" and symbolic.proof.worst_error < 1e-12
    plan = symbolic.plain.plan
    ours, numpys = with_gradient(symbolic), with_gradient(traced)
    for vector in plan.draws(4, 1):
        for one, other in zip(ours(*plan.split(vector)), numpys(*plan.split(vector)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_data_sets_of_one_length_are_one_group_whatever_is_not_read(symbolic):
    assert [group.names for group in symbolic.plain.groups] == [
        ["dataset_0", "dataset_2"],
        ["dataset_1", "dataset_3", "dataset_4"],
    ]


def test_each_and_some_data_sets_are_those_of_the_functions(symbolic):
    plan, joint, plates = symbolic.plain.plan, symbolic.plain.analysis, symbolic.plates
    (vector,) = plan.draws(1, 2)
    expected = dict(zip(joint.analyses, joint.each(plan.instance(vector)), strict=True))
    chosen = [pt.constant([1, 0]), pt.constant([2])]
    some = [subset.of(places) for subset, places in zip(plates.subsets, chosen, strict=True)]
    function = pytensor.function(
        list(symbolic.inputs),
        [plates.each, *some, *pytensor.grad(some[0].sum(), symbolic.inputs[1:])],
        mode="FAST_COMPILE",
    )
    each, first, second, *gradient = function(*plan.split(vector))
    np.testing.assert_allclose(each, [expected[name] for name in plates.factors], rtol=1e-5)
    np.testing.assert_allclose(first, [expected["dataset_2"], expected["dataset_0"]], rtol=1e-5)
    np.testing.assert_allclose(second, [expected["dataset_4"]], rtol=1e-5)
    levels = gradient[-1]
    assert np.all(levels[[0, 2]] != 0.0) and np.all(levels[[1, 3, 4]] == 0.0)


def test_terms_are_in_the_order_of_the_factors(symbolic):
    plan, joint = symbolic.plain.plan, symbolic.plain.analysis
    (vector,) = plan.draws(1, 2)
    with jax.enable_x64(True):
        expected = joint.pointwise_of_each(plan.instance(vector))
    np.testing.assert_allclose(
        symbolic.plain.pointwise(vector), np.concatenate(list(expected.values())), rtol=1e-10
    )
    assert symbolic.plates.term_counts == {f"dataset_{n}": size for n, size in enumerate(LENGTHS)}
    assert symbolic.terms.type.shape == (sum(LENGTHS),)


def test_it_reaches_other_processes(symbolic):
    vector = symbolic.plain.plan.draws(1, 1)[0]
    assert cloudpickle.loads(cloudpickle.dumps(symbolic.plain))(vector) == symbolic.plain(vector)


def test_masks_lengths_texts_and_arrays_of_jax_are_grouped_as_far_as_jax_can():
    class Masked(InJax):
        def __init__(self, name, data, noise, mask):
            super().__init__(name, data, noise)
            self.mask = mask

        def log_likelihood_function(self, line):
            return -jnp.sum(jnp.asarray(self.data)[self.mask] * line.level**2) * self.noise

    class Where(Masked):
        def log_likelihood_function(self, line):
            return -jnp.sum(jnp.where(self.mask, self.data, 0.0) * line.level**2)

    class Setting(InJax):
        def log_likelihood_function(self, line):
            order = {"star 0": 2, "star 1": 4}.get(self.name, 2)
            return -jnp.sum(self.data**2) * line.level**order

    class OfJax(InJax):
        def __init__(self, name, data, noise):
            super().__init__(name, jnp.asarray(data), noise)

    masks = [np.arange(5) < 2, np.arange(5) < 2, np.arange(5) > 2, np.arange(5) > 1]
    rng = np.random.default_rng(2)

    def made(kind):
        return alone(*(kind("", rng.random(5), 1.0 + n, mask) for n, mask in enumerate(masks)))

    names = [f"dataset_{n}" for n in range(4)]
    assert groups(made(Masked)) == [names[:2], names[2:3], names[3:]]
    assert groups(made(Where)) == [names]
    assert groups(alone(*data_sets(Setting, (5, 5, 5)))) == [[names[0]], [names[1]], [names[2]]]
    assert groups(alone(*data_sets(OfJax, (5, 5, 4)))) == [names[:2], names[2:3]]


def test_what_takes_no_tracers_as_data_is_computed_one_by_one():
    class InNumPy(InJax):
        def log_likelihood_function(self, line):
            return -jnp.square(line.level - np.median(self.data)) * self.noise

    graph = alone(*data_sets(InNumPy, (4, 4)))
    assert groups(graph) == [["dataset_0"], ["dataset_1"]]
    assert_equal_to_functions(graph)


def test_many_that_are_compiled_one_by_one_are_told(monkeypatch):
    class InNumPy(InJax):
        def log_likelihood_function(self, line):
            return -jnp.square(line.level - np.median(self.data))

    monkeypatch.setattr("classy_pm.likelihood.jax_groups.MANY", 2)
    with pytest.warns(TraceWarning, match=r"(?s)2 of 2 data sets.*turned into a NumPy array.*InNumPy"):
        groups(alone(*data_sets(InNumPy, (4, 4))))


def test_jaxs_arrays_in_single_precision_are_told_with_their_class():
    class OfJax(InJax):
        def __init__(self, name, data, noise):
            super().__init__(name, jnp.asarray(data, dtype="float32"), noise)

    with pytest.warns(TraceWarning, match=r"OfJax computes with arrays .* of shapes \(2, 3\)"):
        make_symbolic(*read(alone(*data_sets(OfJax, (3, 3)))), "jax")


def test_a_group_that_does_not_agree_is_computed_one_by_one():
    class Looks(InJax):
        def log_likelihood_function(self, line):
            factor = 1.0 if isinstance(self.data, np.ndarray) else 2.0
            return -factor * jnp.sum((self.data - line.level) ** 2)

    compiled = assert_equal_to_functions(alone(*data_sets(Looks, (3, 3))))
    assert [group.names for group in compiled.groups] == [["dataset_0"], ["dataset_1"]]
    again = cloudpickle.loads(cloudpickle.dumps(compiled))
    assert [len(group.places) for group in again.groups] == [1, 1]


def test_a_gradient_that_is_not_the_slope_is_refused_and_the_data_set_named():
    class Stopped(InJax):
        def log_likelihood_function(self, line):
            return -jnp.sum((self.data - jax.lax.stop_gradient(line.level)) ** 2)

    with pytest.raises(TraceError, match=r"dataset_0: The gradient .* by level"):
        make_symbolic(*read(alone(*data_sets(Stopped, (3,)))), "jax")


def test_what_jax_cannot_trace_is_told_with_the_data_sets_and_the_users_line():
    class Branches(InJax):
        def log_likelihood_function(self, line):
            return -jnp.square(line.level) if line.level > 0 else -jnp.square(self.noise)

    graph = alone(*data_sets(Branches, (3, 3)), *data_sets(InJax, (3,)))
    with pytest.raises(
        TraceError, match=r"dataset_0, dataset_1: .*test_jax_graphs\.py:\d+, in .*Branches"
    ) as e:
        make_symbolic(*read(graph), "jax")
    assert "jnp.where" in str(e.value)
    with pytest.warns(TraceWarning, match="dataset_0, dataset_1"):
        assert make_symbolic(*read(graph), "auto").kind == "blackbox"


def test_state_does_not_pass_the_proof():
    class Stateful(InJax):
        calls = 0

        def log_likelihood_function(self, line):
            Stateful.calls += 1
            return -jnp.sum((self.data - line.level) ** 2) + Stateful.calls

    with pytest.raises(TraceError, match=r"for dataset_0, and its function"):
        make_symbolic(*read(alone(*data_sets(Stateful, (3, 3)))), "jax")


def test_factors_in_numpy_that_jax_can_trace_are_computed_with_the_others():
    class Arithmetic(InJax):
        def log_likelihood_function(self, line):
            return -(((self.data[0] - line.level) / self.noise) ** 2)

    graph = alone(*data_sets(Arithmetic, (3, 3)), *data_sets(InJax, (3, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = assert_equal_to_functions(graph, "auto")
    assert [len(group.places) for group in compiled.groups] == [2, 2]


def test_an_impossible_data_set_makes_the_whole_impossible():
    class Allowed(InJax):
        def log_likelihood_function(self, line):
            if self.name == "star 1":
                raise cpm.FitException
            return -jnp.sum((self.data - line.level) ** 2)

    plan, joint = read(alone(*data_sets(Allowed, (3, 3))))
    compiled = make_symbolic(plan, joint, "jax").plain
    (vector,) = plan.draws(1, 1)
    assert compiled(vector) == -np.inf
    assert np.isfinite(compiled.each_at(vector)[0]) and compiled.each_at(vector)[1] == -np.inf
    np.testing.assert_array_equal(compiled.gradient(vector), 0.0)


def test_plates_numbers_and_elements_of_other_plates_are_known():
    """Columns of numbers, of numbers and parameters, and one that is an element of another plate."""

    class Other:
        def __init__(self, centre=0.0, height=1.0):
            self.centre, self.height = centre, height

    class OfOther(InJax):
        def log_likelihood_function(self, other):
            return -jnp.sum((self.data - other.centre * other.height) ** 2)

    shared = cpm.GaussianPrior(0.0, 1.0)
    lines = [cpm.Model(Line, level=cpm.GaussianPrior(0.0, 1.0), slope=1.0 + n) for n in range(3)]
    others = [cpm.Model(Other, centre=centre, height=shared) for centre in (lines[0].level, 2.5)]
    analyses = [*data_sets(InJax, (4, 4, 4)), *data_sets(OfOther, (4, 4))]
    graph = cpm.FactorGraphModel(*map(cpm.AnalysisFactor, [*lines, *others], analyses))
    compiled = assert_equal_to_functions(graph)
    assert [len(group.places) for group in compiled.groups] == [3, 2]


def test_arrays_of_numbers_broadcast_as_those_of_one_data_set():
    class Sum(cpm.Analysis):
        def log_likelihood_function(self, line):
            return -0.5 * jnp.sum((line.level - 1.0) ** 2) - jnp.sum(line.slope**2)

    factors = []
    for _ in range(2):
        line = cpm.Model(Line, level=cpm.Array(2, cpm.GaussianPrior(0.0, 1.0)))
        line.scale = cpm.GaussianPrior(0.0, 1.0)
        line.slope = line.scale * line.level
        factors.append(cpm.AnalysisFactor(line, Sum()))
    assert_equal_to_functions(cpm.FactorGraphModel(*factors))
