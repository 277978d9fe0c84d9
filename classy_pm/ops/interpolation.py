"""Interpolation on grids, differentiable by the places and by the values."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from classy_pm.likelihood.trace.array import is_traced
from classy_pm.likelihood.trace.calculus import interp as traced_interp
from classy_pm.likelihood.trace.dispatch import find_traced, lift, shadow_of
from classy_pm.likelihood.trace.ordering import take
from classy_pm.likelihood.trace.words import refuse

Kind = Literal["linear", "cubic"]


def _arrays(*values: Any) -> list[Any]:
    lifted = [lift(value) for value in values]
    return [value if is_traced(value) else np.asarray(value, dtype=float) for value in lifted]


def interp(x: Any, xp: Any, fp: Any, kind: Kind = "linear") -> Any:
    """Interpolate values given at places.

    Linear on arrays it is `numpy.interp`, cubic `scipy.interpolate.CubicSpline`.

    Parameters
    ----------
    x : array_like or traced
        Where to interpolate.
    xp : array_like, shape (n,), rising
        Places; plain numbers for `kind="cubic"`.
    fp : array_like or traced, shape (n,)
        Values at the places.
    kind : {"linear", "cubic"}
        Straight lines, constant outside; or a cubic spline (not-a-knot), extrapolated outside.

    Returns
    -------
    ndarray or traced array
    """
    import scipy.interpolate

    x, xp, fp = _arrays(x, xp, fp)
    plain = find_traced([x, xp, fp]) is None
    if kind == "linear":
        return np.interp(x, xp, fp) if plain else traced_interp(x, xp, fp)
    if kind != "cubic":
        raise ValueError(f"kind={kind!r} is neither 'linear' nor 'cubic'")
    if plain:
        return scipy.interpolate.CubicSpline(xp, fp)(x)
    if is_traced(xp):
        refuse("the places of a cubic `interp` depend on parameters")
    slopes = np.matmul(slope_matrix(xp), fp)
    place, share, width = _cells(x, xp)
    values = [take(item, place + step) for item in (fp, slopes) for step in (0, 1)]
    return _hermite(values, share, width)


def slope_matrix(places: np.ndarray) -> np.ndarray:
    """Return the matrix that gives a not-a-knot spline's slopes from its values."""
    import scipy.interpolate

    return scipy.interpolate.CubicSpline(places, np.eye(places.size)).derivative()(places)


def _cells(x: Any, xp: np.ndarray) -> tuple[Any, Any, Any]:
    """Return the cell in which each place lies, where in it, and how wide it is."""
    place = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, xp.size - 2)
    left, right = take(xp, place), take(xp, place + 1)
    return place, (x - left) / (right - left), right - left


def _hermite(values: list[Any], t: Any, width: Any) -> Any:
    first, second, slope_first, slope_second = values
    square, cube = t * t, t * t * t
    return (
        first * (2 * cube - 3 * square + 1)
        + second * (3 * square - 2 * cube)
        + width * (slope_first * (cube - 2 * square + t) + slope_second * (cube - square))
    )


def interp2d(x: Any, y: Any, xp: Any, yp: Any, fp: Any, kind: Kind = "linear") -> Any:
    """Interpolate values given on a rectangular grid.

    On arrays it is `scipy.interpolate.RectBivariateSpline`, of degree 1 or 3; places outside of the
    grid have the value at its edge.

    Parameters
    ----------
    x, y : array_like or traced, of one shape
        Where to interpolate.
    xp, yp : array_like, shapes (n,) and (m,), rising
        Places of the grid along the first and second axis, plain numbers.
    fp : array_like or traced, shape (n, m)
        Values on the grid.
    kind : {"linear", "cubic"}
        Degree of the spline.

    Returns
    -------
    ndarray or traced array
    """
    import scipy.interpolate

    x, y, xp, yp, fp = _arrays(x, y, xp, yp, fp)
    if kind not in ("linear", "cubic"):
        raise ValueError(f"kind={kind!r} is neither 'linear' nor 'cubic'")
    if find_traced([xp, yp]) is not None:
        refuse("the places of the grid of `interp2d` depend on parameters")
    if find_traced([x, y, fp]) is None:
        degree = 1 if kind == "linear" else 3
        return scipy.interpolate.RectBivariateSpline(xp, yp, fp, kx=degree, ky=degree)(x, y, grid=False)
    x, y = np.clip(x, xp[0], xp[-1]), np.clip(y, yp[0], yp[-1])
    row, s, width = _cells(x, xp)
    column, t, height = _cells(y, yp)

    def corner(array: Any, down: int, right: int) -> Any:
        return take(np.ravel(array), (row + down) * yp.size + column + right)

    if kind == "linear":
        low = corner(fp, 0, 0) * (1 - t) + corner(fp, 0, 1) * t
        high = corner(fp, 1, 0) * (1 - t) + corner(fp, 1, 1) * t
        return low * (1 - s) + high * s
    along_x, along_y = slope_matrix(xp), slope_matrix(yp).T
    fx, fy = np.matmul(along_x, fp), np.matmul(fp, along_y)
    fxy = np.matmul(along_x, fy)
    rows = []
    for value, slope in ((fp, fy), (fx, fxy)):
        for down in (0, 1):
            rows.append(
                _hermite(
                    [
                        corner(value, down, 0),
                        corner(value, down, 1),
                        corner(slope, down, 0),
                        corner(slope, down, 1),
                    ],
                    t,
                    height,
                )
            )
    return _hermite(rows, s, width)


def map_coordinates(
    input: Any, coordinates: Any, order: int = 3, mode: str = "constant", cval: float = 0.0
) -> Any:
    """Interpolate an array at places counted in its elements.

    On arrays this is `scipy.ndimage.map_coordinates`.

    Parameters
    ----------
    input : array_like or traced
        The values.
    coordinates : array_like or traced, shape (dimensions, ...)
        The places along each axis.
    order : {1, 3}
        Straight lines or cubic B-splines.
    mode : {"constant", "nearest", "mirror", "reflect"}
        What lies outside.
    cval : float
        The constant outside.

    Returns
    -------
    ndarray or traced array
    """
    import scipy.ndimage

    input, coordinates = _arrays(input, coordinates)
    if find_traced([input, coordinates]) is None:
        return scipy.ndimage.map_coordinates(input, coordinates, order=order, mode=mode, cval=cval)
    if order not in (1, 3) or mode not in ("constant", "nearest", "mirror", "reflect"):
        refuse(f"`map_coordinates` of traced arrays with order={order}, mode={mode!r} has no equivalent")
    shape = np.shape(shadow_of(input))
    padding = 0
    content = input
    if order == 3:
        padding = 12 if mode == "nearest" else 0  # as SciPy does, so that the spline is flat outside
        content = _spline_coefficients(input, shape, padding, mode)
    places = [coordinates[axis] for axis in range(len(shape))]
    inside = None
    for axis, length in enumerate(shape):
        place = places[axis]
        if mode == "constant":
            within = np.logical_and(place >= 0, place <= length - 1)
            inside = within if inside is None else np.logical_and(inside, within)
            places[axis] = np.clip(place, 0, length - 1)
        elif padding:
            places[axis] = np.clip(place + padding, 0, length - 1 + 2 * padding)
        else:
            places[axis] = _folded(place, length, mode)
    result = _weighted(content, [n + 2 * padding for n in shape], places, order, mode)
    return result if inside is None else np.where(inside, result, cval)


def _folded(place: Any, length: int, mode: str) -> Any:
    """Return places outside of an axis as the places inside that they show."""
    if mode == "nearest":
        return np.clip(place, 0, length - 1)
    if mode == "mirror":
        period = 2 * (length - 1)
        return np.abs(np.mod(place + (length - 1), period) - (length - 1))
    period = 2 * length
    folded = np.mod(place, period)
    return np.where(folded > length - 0.5, period - 1 - folded, folded)


def _spline_coefficients(array: Any, shape: tuple[int, ...], padding: int, mode: str) -> Any:
    import scipy.ndimage

    kind = {"constant": "mirror", "nearest": "nearest"}.get(mode, mode)
    for axis, length in enumerate(shape):
        start = np.pad(np.eye(length), ((padding, padding), (0, 0)), mode="edge")
        matrix = scipy.ndimage.spline_filter1d(start, order=3, axis=0, mode=kind)
        array = np.moveaxis(np.tensordot(matrix, array, axes=(1, axis)), 0, axis)
    return array


def _weighted(content: Any, shape: list[int], places: list[Any], order: int, mode: str) -> Any:
    cells, weights = [], []
    for place, length in zip(places, shape, strict=True):
        cell = np.floor(place)
        t = place - cell
        whole = cell.astype(int) if is_traced(cell) else np.asarray(cell, dtype=int)
        steps = (0, 1) if order == 1 else (-1, 0, 1, 2)
        cells.append([_index_inside(whole + step, length, mode) for step in steps])
        weights.append([1 - t, t] if order == 1 else _cubic_weights(t))
    flat = np.ravel(content)
    total: Any = 0.0
    for corner in np.ndindex(*(len(cell) for cell in cells)):
        index: Any = 0
        weight: Any = 1.0
        for axis, choice in enumerate(corner):
            index = index * shape[axis] + cells[axis][choice]
            weight = weight * weights[axis][choice]
        total = total + weight * take(flat, index)
    return total


def _cubic_weights(t: Any) -> list[Any]:
    u = 1 - t
    return [u * u * u / 6, (t * t * (t - 2) * 3 + 4) / 6, (u * u * (u - 2) * 3 + 4) / 6, t * t * t / 6]


def _index_inside(index: Any, length: int, mode: str) -> Any:
    if length == 1:
        return index * 0
    if mode == "reflect":
        folded = np.mod(index, 2 * length)
        return np.where(folded >= length, 2 * length - 1 - folded, folded)
    folded = np.mod(index, 2 * (length - 1))
    return np.where(folded >= length, 2 * (length - 1) - folded, folded)
