"""Every number of the index is the one that NumPy gives of the draws in the file, and a rebuild's too."""

import contextlib
import json
import sqlite3
from enum import IntEnum

import arviz_stats
import numpy as np
import pytest
import sqlalchemy as sa
from scipy.special import erf

import classy_pm as cpm
from classy_pm.catalog import tables
from classy_pm.plan import make_plan
from classy_pm.result.tree import make_tree
from classy_pm.search.diagnose import _above, diagnose
from classy_pm.search.record import _constants


class Part:
    def __init__(self, centre=0.0, width=1.0, label="x", flag=True, number=3):
        self.centre, self.width, self.label, self.flag, self.number = centre, width, label, flag, number


class Everything(cpm.Analysis):
    """Derives scalars and vectors, some of which are not finite."""

    def log_likelihood_function(self, instance):
        return -0.5 * ((instance.one.centre - 1.0) ** 2 + (instance.two.centre - 2.0) ** 2)

    def derived(self, instance):
        width = instance.one.width
        with np.errstate(all="ignore"):
            return {
                "area": np.pi * width**2,
                "some nan": np.sqrt(np.float64(width - 1.0)),
                "all infinite": np.inf,
                "curve": np.array([width, 2.0 * width, -np.inf]),
            }


def make_model():
    shared = cpm.UniformPrior(0.5, 1.5)
    one = cpm.Model(Part, centre=cpm.GaussianPrior(0.0, 1.0), width=shared)
    two = cpm.Model(
        Part, centre=cpm.GaussianPrior(0.0, 1.0), width=shared, label="O'Brien", number=np.int64(2)
    )
    model = cpm.Collection(one=one, two=two, weights=cpm.Array(3, cpm.UniformPrior(-1.0, 1.0)))
    model.sum = one.centre + two.centre
    return model


SEARCHES = {
    "chains": lambda: cpm.Slice(draws=60, tune=20, chains=2, random_seed=1),
    "walkers": lambda: cpm.Emcee(nwalkers=20, nsteps=60, random_seed=1),
    "weights": lambda: cpm.DynestyStatic(nlive=50, maxcall=1500, random_seed=1),
}
ENDS = {"lo1": (1, -1), "hi1": (1, 1), "lo3": (3, -1), "hi3": (3, 1)}


def quantile(values, weights, probability):
    """The weighted quantile by the integral that defines it; see `classy_pm.result.weighted`."""
    if weights is None:
        return np.quantile(values, probability)
    values, weights = values[weights > 0], weights[weights > 0]
    if np.isnan(values).any():
        return np.nan
    order = np.argsort(values, kind="stable")
    values, share = values[order], weights[order] / np.sum(weights)
    count = 1.0 / np.sum(share**2)
    start = (count - 1.0) * probability / count
    edges = np.clip((np.concatenate([[0.0], np.cumsum(share)]) - start) * count, 0.0, 1.0)
    pieces = np.diff(edges)
    return np.sum(pieces[pieces > 0] * values[pieces > 0])


def oracle(tree, name, index):
    """What each column should be of one number, from the groups of the file alone."""
    if "weighted_posterior" in tree.children:
        group = tree["weighted_posterior"].to_dataset()
        weights = np.exp(group["log_weight"].values)
        values = group[name].values[(slice(None), *index)]
        log_likelihood, log_prior = group["total_log_likelihood"].values, group["log_prior"].values
        quality = {"ess": np.sum(weights) ** 2 / np.sum(weights**2), "rhat": np.nan}
    else:
        weights, stats = None, tree["sample_stats"].to_dataset()
        array = tree["posterior"][name].values[(..., *index)]
        values = array.ravel()
        log_likelihood, log_prior = (stats[n].values.ravel() for n in ("total_log_likelihood", "log_prior"))
        one = tree["posterior"].to_dataset()[[name]]
        stats = [arviz_stats.ess(one, method=method) for method in ("bulk", "tail")]
        ess = [float(stat[name].values[index]) for stat in stats]
        several = array.shape[0] > 1
        quality = {
            "ess": min(ess),
            "rhat": float(arviz_stats.rhat(one)[name].values[index]) if several else np.nan,
        }
    mean = np.average(values, weights=weights)
    return {
        "mean": mean,
        "median": quantile(values, weights, 0.5),
        "sd": variance(values, weights) ** 0.5,
        **{
            column: quantile(values, weights, 0.5 + 0.5 * side * erf(sigma / np.sqrt(2.0)))
            for column, (sigma, side) in ENDS.items()
        },
        "ml": values[np.argmax(log_likelihood)],
        "map": values[np.argmax(log_likelihood + log_prior)],
        **quality,
    }


def variance(values, weights):
    if weights is None:
        return np.var(values, ddof=1)
    share = weights / np.sum(weights)
    return np.sum(share * (values - np.sum(share * values)) ** 2) / (1.0 - np.sum(share**2))


def parameters_of(catalog):
    with catalog.database.reading() as connection:
        query = sa.select(tables.parameter).order_by(tables.parameter.c.place)
        return {row["path"]: dict(row) for row in connection.execute(query).mappings()}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", SEARCHES)
def test_the_index_has_what_numpy_says_of_the_file(tmp_path, name):
    SEARCHES[name]().fit(make_model(), Everything(), catalog=tmp_path / "fits.sqlite")
    with cpm.Catalog(tmp_path / "fits.sqlite") as catalog:
        (stored,) = catalog
        tree, rows = stored.tree(), parameters_of(catalog)
        free = ["one.centre", "one.width", "two.centre", *(f"weights[{i}]" for i in range(3))]
        derived = ["sum", "area", "some nan", "all infinite", *(f"curve[{i}]" for i in range(3))]
        assert {path for path, row in rows.items() if row["role"] == "free"} == set(free)
        assert {path for path, row in rows.items() if row["role"] == "derived"} >= set(derived)
        assert rows["two.width"] == {**rows["one.width"], "path": "two.width", "role": "shared"}
        assert stored.n_free == 6, "a shared parameter counts once"
        assert [item.path for item in stored.record.parameters if item.role == "free"] == free
        assert (stored.variable("two.width") == stored.variable("one.width")).all()
        with contextlib.closing(sqlite3.connect(tmp_path / "fits.sqlite")) as connection:
            (medians,) = connection.execute("SELECT medians FROM fits").fetchone()
        assert "one.width" in medians and "two.width" not in medians
        for path in free + derived:
            variable, _, rest = path.partition("[")
            expected = oracle(tree, variable, tuple(map(int, filter(None, rest.rstrip("]").split(",")))))
            for column, value in expected.items():
                found = rows[path][column]
                if np.isfinite(value):
                    assert found == pytest.approx(value, rel=1e-9, abs=1e-12), (path, column)
                else:
                    assert found is None, (path, column)
        assert rows["all infinite"]["mean"] is None
        assert rows["area"]["median"] is not None
        for path, value in {"one.number": 3, "two.number": 2, "one.flag": 1}.items():
            assert {rows[path][column] for column in ("mean", "median", "ml", "map")} == {value}
        assert (rows["two.label"]["role"], rows["two.label"]["text"]) == ("fixed", "O'Brien")
        catalog.rebuild()
        assert parameters_of(catalog) == rows


@pytest.mark.parametrize(("value", "text"), [(1.05, "1.050"), (1.01004, "1.01004"), (1.0104, "1.0104")])
def test_an_r_hat_that_is_too_large_is_so_when_it_is_read(value, text):
    assert _above(value, 1.01) == text


def test_every_path_of_what_is_shared_is_in_the_index(tmp_path):
    one, weights = cpm.Model(Part), cpm.Array(2, cpm.UniformPrior(-1.0, 1.0))
    one.centre, one.width, one.number = cpm.GaussianPrior(0.0, 1.0), 1.0, 2**53 + 1
    model = cpm.Collection(one=one, two=cpm.Collection(deep=one), first=weights, second=weights)

    class Free(cpm.Analysis):
        def log_likelihood_function(self, instance):
            return -0.5 * (instance.two.deep.centre**2 + sum(instance.second**2))

    with cpm.Catalog(tmp_path / "fits.sqlite") as catalog:
        cpm.Slice(draws=5, tune=5, chains=1, random_seed=1).fit(model, Free(), catalog=catalog)
        (stored,) = catalog
        rows = parameters_of(catalog)
        roles = {path: row["role"] for path, row in rows.items()}
        expected = ["two.deep.centre", "second[0]", "second[1]"]
        assert [path for path, role in roles.items() if role == "shared"] == expected
        assert roles["one.number"] == roles["two.deep.number"] == "fixed"
        assert rows["one.number"]["exact"] == rows["two.deep.number"]["exact"] == "9007199254740993"
        assert {item.path for item in stored.record.components} == {"one", "two.deep"}
        assert stored.n_free == 3
        assert (stored.variable("second") == stored.variable("first")).all()


class Band(IntEnum):
    R = 1


def test_a_member_of_an_enumeration_is_filed_as_its_number():
    plan = make_plan(cpm.Collection(x=cpm.UniformPrior(), band=Band.R, on=np.bool_(True), name=np.str_("a")))
    assert {item.path: item.value for item in _constants(plan)} == {"band": 1, "on": True, "name": "a"}
    assert all(type(item.value) in (int, bool, str) for item in _constants(plan))


def test_divergences_at_assertions_are_told_as_such():
    rng = np.random.default_rng(1)
    tree = make_tree(
        {"x": rng.normal(size=(4, 200))},
        rng.normal(size=(4, 200)),
        rng.normal(size=(4, 200)),
        free=["x"],
        stats={"diverging": np.ones((4, 200), dtype=bool)},
        attributes={"kind": "chains"},
    )

    def told(*assertions):
        return json.loads(diagnose(tree.copy(), [], assertions).attrs["fit"])["notices"][0]

    assert "800 of 800 draws" in told() and "sign of the log likelihood" in told()
    assert "edge of an assertion (`ordered`)" in told("ordered") and "sign" not in told("ordered")
