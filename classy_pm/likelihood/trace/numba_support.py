"""Code for numba of the operations of this folder.

Where NumPy's or SciPy's compiled code does the work, numba calls it through Python, which adds a few
microseconds; PyTensor would do the same with a warning.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from classy_pm.likelihood.faults import note

# The classes of operations that are called in this way.
CALLED_BY_PYTHON: set[type] = set()


@cache
def called_by_python(kind: type) -> None:
    """Tell numba's linker, once for each class of operations, that Python computes them."""
    CALLED_BY_PYTHON.add(kind)
    try:
        import numba
        from pytensor.link.numba.dispatch.basic import (
            get_numba_type,
            numba_njit,
            register_funcify_and_cache_key,
        )
    except ImportError:
        return

    def by_python(op: Any, node: Any, **kwargs: Any) -> tuple[Any, None]:
        count = len(node.outputs)
        types = [get_numba_type(output.type) for output in node.outputs]
        signature = types[0] if count == 1 else numba.types.Tuple(types)

        def compute(inputs: Any) -> Any:
            storage: list[list[Any]] = [[None] for _ in range(count)]
            try:
                op.perform(node, inputs, storage)
            except BaseException as error:
                note(error)
                raise
            results = tuple(cell[0] for cell in storage)
            return results[0] if count == 1 else results

        @numba_njit
        def perform(*inputs):  # type: ignore[no-untyped-def]
            with numba.objmode(result=signature):
                result = compute(inputs)
            return result  # noqa: RET504 - numba wants the name

        return perform, None

    register_funcify_and_cache_key(kind)(by_python)
