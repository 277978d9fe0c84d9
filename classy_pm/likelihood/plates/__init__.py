"""The log likelihood of a graph of factors as one graph whose size does not grow with their number.

The likelihood of one data set is traced with its data as inputs, and the graph is spread over the plate.

| module | what it is about |
| --- | --- |
| `variants.py` | one trace for all data sets that differ in numbers alone |
| `merging.py`, `padded.py`, `rules.py` | traces of several lengths, or with several integers, as one graph |
| `batches.py` | the data side by side, the graph spread over them, proved |
| `all_plates.py` | all of it; the comparison of each data set with its function |
"""

from classy_pm.likelihood.plates.all_plates import trace_plates

__all__ = ["trace_plates"]
