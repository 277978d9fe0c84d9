"""The list from which the table of the documentation is made."""

from classy_pm.likelihood.trace import coverage


def rows_of(module, kind):
    return [row for row in coverage() if row.module == module and row.kind == kind]


def test_at_least_95_percent_of_numpy_ufuncs_are_traced():
    rows = rows_of("numpy", "ufunc")
    assert sum(row.state == "traced" for row in rows) >= 0.95 * len(rows)


def test_at_least_200_array_functions_are_traced():
    rows = [row for module in ("numpy", "numpy.linalg", "numpy.fft") for row in rows_of(module, "function")]
    assert sum(row.state == "traced" for row in rows) >= 200


def test_every_function_is_known_and_every_refusal_has_a_reason():
    assert [row.name for row in coverage() if row.state == "unknown"] == []
    assert [row.name for row in coverage() if row.state == "refused" and not row.note] == []
