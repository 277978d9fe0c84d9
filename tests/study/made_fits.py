"""Fits with draws made by NumPy, filed as those of a search are."""

import uuid

import numpy as np

import classy_pm as cpm
from classy_pm.catalog import ComponentRecord, FitRecord, ParameterRecord, class_ref, fit_key, part_key
from classy_pm.plan import make_plan
from classy_pm.result.tree import make_tree

SEARCHES = {"chains": "NUTS", "nested": "Nautilus", "optimum": "MAP", "approximation": "Laplace"}


class Source:
    def __init__(self, flux=0.0, colour=0.0):
        self.flux, self.colour = flux, colour


def source(flux, colour=0.0):
    return cpm.Collection(source=cpm.Model(Source, flux=flux, colour=colour))


def made_fit(number, model, draws, *, chains=4, data=None, name="", log_weights=None, whole=False, kind=None):
    """A record and a tree of draws by the parameters' names.

    They have shape (draws,), or if they are whole (chain, draw, ...).
    """
    plan = make_plan(model)
    shaped = {key: value if whole else np.reshape(value, (chains, -1)) for key, value in draws.items()}
    flat = [np.reshape(shaped[key], (*shaped[key].shape[:2], -1)) for key in plan.names]
    vectors = np.concatenate(flat, axis=-1)
    zero = np.zeros(vectors.shape[:-1])
    weighted = None
    if log_weights is not None:
        flat = {key: np.asarray(value) for key, value in draws.items()}
        extra = {"log_weight": log_weights, "total_log_likelihood": zero.ravel(), "log_prior": zero.ravel()}
        weighted = {**flat, **extra}
    tree = make_tree(
        shaped,
        zero,
        plan.log_prior(vectors),
        free=plan.names,
        weighted=weighted,
        attributes={"kind": kind or ("chains" if weighted is None else "nested")},
    )
    record = FitRecord(
        fit_key=fit_key({"number": number}),
        run_id=uuid.UUID(int=number).hex,
        name=name,
        unique_tag=f"object_{number}",
        search=SEARCHES[kind or ("chains" if weighted is None else "nested")],
        model=model.to_dict(),
        components=tuple(
            ComponentRecord(".".join(path), class_ref(cls), ()) for path, cls in plan.layout.components
        ),
        parameters=tuple(map(ParameterRecord, map(".".join, plan.layout.element_paths))),
        model_hash=part_key(plan.identity),
        data_hash=part_key({"data": number if data is None else data}),
    )
    return record, tree


def file_fits(location, fits):
    """File them in a new catalogue, and return the aggregator of all."""
    with cpm.Catalog(location) as catalog:
        catalog.file_many(fits)
    return cpm.Aggregator.from_database(location)
