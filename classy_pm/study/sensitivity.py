"""`SensitivityMapping`: how large a perturbation must be to be found in data like these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from classy_pm.catalog import Catalog, fit_key
from classy_pm.errors import Faults, LikelihoodError, ModelError, SettingError
from classy_pm.likelihood import Analysis
from classy_pm.likelihood.analysis import gives
from classy_pm.likelihood.calls import checked_call
from classy_pm.likelihood.warn import warn
from classy_pm.model import Collection, Instance, Node
from classy_pm.model.edit import with_part
from classy_pm.model.expressions import is_whole
from classy_pm.plan import make_plan
from classy_pm.search import Search
from classy_pm.search.job import Job, Lineage
from classy_pm.search.reuse import varying_among
from classy_pm.search.stale import OnChange
from classy_pm.study.executors import check_executor
from classy_pm.study.grid import Grid, shown
from classy_pm.study.running import Conditions, Named, run_jobs, tried
from classy_pm.study.sensitivity_result import BASE, PERTURBED, SensitivityResult

__all__ = ["SensitivityMapping"]

CALL = (
    "Write SensitivityMapping(base_model, perturb_model, base_instance, analysis, search, number_of_steps=4)"
    ".run(catalog='map.sqlite')."
)
# What the perturbation is called in the richer model.
PERTURB = "perturb"


class SensitivityMapping:
    """Simulates data with a perturbation on a grid, and fits each with it and without it.

    In the middle of each cell of a grid over the perturbation's free parameters, data are simulated from the
    base instance with the perturbation, ``analysis.simulate(instance, rng)``. They are fitted by the base
    model, and by the richer one: the base model with one part more, ``perturb``, whose priors are those of
    `perturb_model`, not truncated to the cell, for of real data nobody knows the cell. Where the evidence of
    the richer model is greater by 5 or so, such a perturbation would be found.

    Parameters
    ----------
    base_model : Collection
        With parts that have names.
    perturb_model : Model or Collection
        What is added as the part ``perturb``.
    base_instance : object or Collection
        The truth without a perturbation: an instance of the base model, such as ``result.instance``, or a
        Collection of objects.
    analysis : Analysis
        With a `simulate` that returns an analysis.
    search : Search
    number_of_steps : int or sequence of int
        In how many parts each free parameter of the perturbation is divided, of equal prior probability.
    number_of_repeats : int
        How many data sets are simulated in each cell, with different noise.
    mask : array_like of bool, optional
        Of the shape of the grid: cells that are left out are True.
    number_of_cores : int
        How many fits run at a time, each in a process.
    executor : distributed.Client, optional
        A Dask cluster, whose workers run the fits.
    random_seed : int, optional
        Of the simulated noise. By default it is derived from all else.

    Examples
    --------
    >>> mapping = SensitivityMapping(
    ...     base_model=Collection(lens=lens),
    ...     perturb_model=subhalo,
    ...     base_instance=result.instance,
    ...     analysis=analysis,
    ...     search=Nautilus(),
    ...     number_of_steps=(8, 8, 4),
    ... )  # doctest: +SKIP
    >>> found = mapping.run(catalog="sensitivity.sqlite")  # doctest: +SKIP
    >>> found.log_evidence_differences  # doctest: +SKIP
    """

    @checked_call(CALL)
    def __init__(
        self,
        base_model: Collection,
        perturb_model: Node,
        base_instance: Any,
        analysis: Analysis,
        search: Search,
        number_of_steps: int | Sequence[int] = 4,
        *,
        number_of_repeats: int = 1,
        mask: Any = None,
        number_of_cores: int = 1,
        executor: Any = None,
        random_seed: int | None = None,
    ) -> None:
        _check(base_model, perturb_model, analysis, search, number_of_repeats, random_seed)
        check_executor(number_of_cores, executor)
        self.base_model = base_model
        self.perturb_model = perturb_model
        self.model = with_part(base_model, PERTURB, perturb_model)
        self.analysis = analysis
        self.search = search
        _check_perturbation(base_model, perturb_model)
        self.grid = Grid.over(perturb_model, None, number_of_steps, f"{PERTURB}.")
        self.number_of_repeats = number_of_repeats
        self.mask = _read_mask(mask, self.grid.shape)
        self.number_of_cores = number_of_cores
        self.executor = executor
        self.random_seed = random_seed
        # Of objects alone, but for the perturbation.
        self._truth = with_part(_truth(base_model, base_instance), PERTURB, perturb_model)

    def __repr__(self) -> str:
        return f"<SensitivityMapping of {shown(self.grid)}, {self.search!r}>"

    @checked_call("Write mapping.run(catalog='sensitivity.sqlite').")
    def run(
        self,
        *,
        catalog: Catalog | str | Path | None = None,
        info: dict[str, Any] | None = None,
        on_change: OnChange = "error",
    ) -> SensitivityResult:
        """Simulate and fit all cells; fits that the catalogue has are read.

        Parameters
        ----------
        catalog : Catalog or path of a sqlite file, optional
            Where the fits are filed: two for each data set, named "base" and "perturbed" behind the name of
            the search, of the kind "sensitivity", with the place of the cell as ``grid_index`` and the
            ``identifier`` of the result as ``parent_key``.
        info : dict, optional
            What else shall be stored with each.
        on_change : {"error", "warn", "reuse", "rerun"}
            See `Search.fit`.

        Returns
        -------
        SensitivityResult
            What failed is NaN in it, and in its ``failures``.

        Raises
        ------
        ClassyError
            If the models, the data or the catalogue cannot be used; before anything is computed.
        StudyError
            If all fits fail.
        """
        key = self._key()
        cells = [item for item in enumerate(self.grid) if not self.mask[item[1]]]
        count = 2 * self.number_of_repeats * len(cells)
        conditions = Conditions(
            catalog,
            self.number_of_cores,
            self.executor,
            on_change,
            self.search.progress,
            self._varying(),
        )
        jobs = self._jobs(cells, key, info)
        fits = run_jobs(jobs, conditions, f"fitting {count // 2} simulated data sets twice", count)
        return SensitivityResult(self.grid, self.mask, self.number_of_repeats, fits, key)

    def simulated(self, cell: Sequence[int], repeat: int = 0) -> Analysis:
        """Return the data that are simulated in a cell, given by its places along the dims.

        Raises
        ------
        LikelihoodError
            If `simulate` returns no analysis.
        """
        return self._simulated(self.grid.index(tuple(cell)), tuple(cell), repeat, self._seed(self._key()))

    def _simulated(self, index: int, cell: tuple[int, ...], repeat: int, seed: int) -> Analysis:
        # The same whichever others are simulated, and where.
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, repeat)))
        return self._of_rng(list(self.grid.centre(cell).values()), rng)

    def _of_rng(self, values: list[float], rng: np.random.Generator) -> Analysis:
        """Simulate data with a perturbation."""
        instance = self._truth.instance_from_vector(values)
        made = self.analysis.simulate(instance, rng)
        if not isinstance(made, Analysis):
            raise LikelihoodError(
                f"{type(self.analysis).__name__}.simulate returned a {type(made).__name__}, no analysis.",
                cure="For a sensitivity mapping it returns an analysis with the simulated data.",
            )
        return made

    def _varying(self) -> frozenset[Any]:
        """Return what of the data is simulated, by a few tries.

        Data that are others each time are refused, and those that do not know of the perturbation warned of.

        Raises
        ------
        LikelihoodError
            If they are not drawn from the generator alone.
        """
        priors = [axis.prior for axis in self.grid.axes]
        low, high = ([float(prior.ppf(share)) for prior in priors] for share in (0.05, 0.95))
        tries = [(low, 0), (low, 0), (high, 0), (low, 1)]
        made = [tried(partial(self._of_rng, at, np.random.default_rng(seed))) for at, seed in tries]
        simulated = [item for item in made if isinstance(item, Analysis)]
        if len(simulated) < len(made):
            return varying_among(simulated)  # what is wrong is told of each cell
        first, again, other, _ = simulated
        kind = type(self.analysis).__name__
        if varying_among([first, again]):
            raise LikelihoodError(
                f"{kind}.simulate returns other data for the same instance and the same rng.",
                cure="Draw all noise from rng, such as rng.normal(model, self.noise).",
            )
        if not varying_among([first, other]):
            warn(
                f"{kind}.simulate returns the same data wherever the perturbation is: does it use "
                f"instance.{PERTURB}?",
                UserWarning,
            )
        return varying_among(simulated)

    def _jobs(
        self, cells: list[tuple[int, tuple[int, ...]]], key: str, info: dict[str, Any] | None
    ) -> Iterator[Named]:
        seed = self._seed(key)
        for index, cell in cells:
            for repeat in range(self.number_of_repeats):
                label = self.grid.label(cell) + (f", repeat {repeat}" if self.number_of_repeats > 1 else "")
                simulated = tried(partial(self._simulated, index, cell, repeat, seed))
                for what, model in ((BASE, self.base_model), (PERTURBED, self.model)):
                    job: Job | Exception
                    if isinstance(simulated, Exception):
                        job = simulated
                    else:
                        name = f"{self.search.name} {what}".strip()
                        lineage = Lineage("sensitivity", key, index)
                        job = tried(partial(Job.of, self.search, model, simulated, info, lineage, name=name))
                    yield f"{label}, {what}", job

    def _key(self) -> str:
        """Return the identity of the whole, having checked what the fits are made of."""
        return fit_key(
            {
                "study": "sensitivity",
                "base": Job.of(self.search, self.base_model, self.analysis).key,
                "perturbed": Job.of(self.search, self.model, self.analysis).key,
                "truth": make_plan(self._truth).identity,
                "grid": self.grid.identity(),
                "random_seed": self.random_seed,
            }
        )

    def _seed(self, key: str) -> int:
        return int(key, 16) if self.random_seed is None else self.random_seed


def _check(
    base_model: Any, perturb_model: Any, analysis: Any, search: Any, repeats: Any, random_seed: Any
) -> None:
    faults = Faults()
    if not isinstance(base_model, Collection) or base_model._container in ("list", "tuple"):
        faults.add("base_model", f"{base_model!r:.150} is no Collection of parts: Collection(lens=lens)")
    elif PERTURB in dict(base_model.children()):
        faults.add("base_model", f"has a part `{PERTURB}` already: call it otherwise")
    if not isinstance(perturb_model, Node):
        faults.add("perturb_model", f"{perturb_model!r:.200} is no model: Model(Profile, ...)")
    if not isinstance(analysis, Analysis):
        faults.add("analysis", f"{analysis!r:.200} is no analysis")
    elif not gives(analysis, "simulate"):
        faults.add("analysis", f"{type(analysis).__name__} has no simulate(self, instance, rng)")
    if not isinstance(search, Search):
        faults.add("search", f"{search!r:.200} is no search")
    if not is_whole(repeats, 1):
        faults.add("number_of_repeats", f"{repeats!r} is no positive integer")
    if random_seed is not None and not is_whole(random_seed, 0):
        faults.add("random_seed", f"{random_seed!r} is no integer from 0")
    faults.raise_as(SettingError, "This sensitivity cannot be mapped.", cure=CALL)


def _check_perturbation(base_model: Node, perturb_model: Node) -> None:
    """Refuse a perturbation that cannot be put on a grid of its own."""
    own = {parameter.prior: parameter.name for parameter in perturb_model._layout().parameters}
    if not own:
        raise ModelError("perturb_model has no free parameter: there is nothing to make a grid of.")
    faults = Faults()
    for parameter in base_model._layout().parameters:
        if parameter.prior in own:
            faults.add(
                f"perturb.{own[parameter.prior]}", f"is the same parameter as {parameter.name} of the base"
            )
    faults.raise_as(
        ModelError,
        "The perturbation shares parameters with the base model.",
        cure="Give it priors of its own: simulated data have the perturbation of the cell.",
    )


def _truth(base_model: Node, base_instance: Any) -> Collection:
    """Return the base instance as a collection of objects, of the same kind as the base model."""
    if isinstance(base_instance, Collection):
        parts = dict(base_instance.children())
    elif isinstance(base_instance, (Instance, dict)):
        parts = dict(base_instance.items())
    else:
        parts = {}
    wanted = [name for name, _ in base_model.children()]
    if sorted(parts) != sorted(wanted):
        raise ModelError(
            f"base_instance={base_instance!r:.200} has not the parts of the base model.",
            cure=f"It is a result.instance, or a Collection of objects: {', '.join(wanted)}.",
        )
    truth = Collection({name: parts[name] for name in wanted})
    object.__setattr__(truth, "_container", base_model._container)
    if truth.total_free_parameters:
        raise ModelError("base_instance has free parameters.", cure="Give objects with numbers.")
    return truth


def _read_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return which cells are left out."""
    if mask is None:
        return np.zeros(shape, dtype=bool)
    given = np.asarray(mask)
    if given.dtype != bool or given.shape != shape or np.all(given):
        raise SettingError(
            f"mask is an array of booleans of the shape {shape}, True where a cell is left out, and not "
            f"everywhere; it is of {given.dtype} and has the shape {given.shape}."
        )
    return given
