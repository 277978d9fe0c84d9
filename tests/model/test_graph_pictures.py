"""A graph of factors to look at: text, HTML and pictures, whose size does not grow with the data sets."""

import sys
from types import SimpleNamespace

import pytest

from classy_pm.model import (
    AnalysisFactor,
    Collection,
    FactorGraphModel,
    GaussianPrior,
    LogUniformPrior,
    Model,
    UniformPrior,
)


class Line:
    def __init__(self, centre, height, width):
        self.centre, self.height, self.width = centre, height, width


class Likelihood:
    def log_likelihood_function(self, instance):
        return 0.0


def graph_of(count, *, fixed=()):
    mean, width = GaussianPrior(50.0, 20.0), UniformPrior(1.0, 10.0)
    factors = []
    for place in range(count):
        line = Model(
            Line, centre=GaussianPrior(mean, 2.0), height=LogUniformPrior(0.1, 100.0 + place), width=width
        )
        if place in fixed:
            line.centre = 5.0
        model = Collection(line=line, flux=line.height * 2.0)
        factors.append(AnalysisFactor(model, Likelihood(), f"object_{place}"))
    return FactorGraphModel(*factors)


def two_kinds():
    factors = [*graph_of(3).factors, AnalysisFactor(Collection(offset=UniformPrior()), Likelihood(), "sky")]
    factors.append(AnalysisFactor(Collection(offset=UniformPrior()), Likelihood(), "other_sky"))
    return FactorGraphModel(*factors)


def test_a_plate_is_told_once_with_what_is_of_each_and_what_is_shared():
    assert graph_of(12).info == (
        "FactorGraphModel with 26 free parameters\n\n"
        "dataset           Collection of 12 data sets: object_0 ... object_11\n"
        "    line          Line\n"
        "        centre    GaussianPrior(mean=line.centre.mean, sigma=2.0), one for each\n"
        "        height    LogUniformPrior(lower_limit=0.1, upper_limit=<12 numbers>), one for each\n"
        "        width     UniformPrior(lower_limit=1.0, upper_limit=10.0)\n"
        "    flux          = line.height * 2.0\n"
        "line.centre.mean  GaussianPrior(mean=50.0, sigma=20.0)"
    )


def test_a_plate_is_a_box_with_what_is_shared_outside():
    lines = graph_of(12).graph().mermaid.splitlines()
    begin, end = lines.index('    subgraph dataset ["dataset (12)"]'), lines.index("    end")
    inside = "\n".join(lines[begin:end])
    outside = "\n".join(lines[:begin])
    for name in ("Collection", "line.centre<br/>", "line.height<br/>", "flux<br/>"):
        assert inside.count(f'"{name}') == 1 and f'"{name}' not in outside
    for name in ("FactorGraphModel", "line.centre.mean<br/>", "line.width<br/>"):
        assert outside.count(f'"{name}') == 1 and f'"{name}' not in inside
    keys = {
        line.split('"')[1].split("<br/>")[0]: line.strip().split("(")[0] for line in lines if '(["' in line
    }
    assert f"    {keys['line.centre']} --> {keys['line.centre.mean']}" in lines


def test_several_kinds_are_several_boxes():
    mermaid = two_kinds().graph().mermaid
    assert '    subgraph plate_0 ["plate_0 (3)"]' in mermaid
    assert '    subgraph plate_1 ["plate_1 (2)"]' in mermaid
    info = two_kinds().info
    assert "plate_1                   Collection of 2 data sets: sky, other_sky" in info


@pytest.mark.parametrize("fixed", [(), (3, 4)], ids=["all alike", "not all alike"])
def test_texts_and_pictures_do_not_grow_with_the_data_sets(fixed):
    few, many = graph_of(30, fixed=fixed), graph_of(1000, fixed=fixed)
    for look in ("info", "_repr_html_"):
        texts = [getattr(graph, look) for graph in (few, many)]
        few_text, many_text = (text() if callable(text) else text for text in texts)
        assert abs(len(many_text) - len(few_text)) < 100
    assert len(few.graph().vertices) == len(many.graph().vertices) <= 12


def test_graphviz_draws_the_same_boxes(monkeypatch):
    class Drawing:
        def __init__(self):
            self.nodes, self.edges, self.boxes, self.label = [], [], [], None

        def node(self, key, label, shape):
            self.nodes.append(key)

        def edge(self, above, below):
            self.edges.append((above, below))

        def attr(self, label):
            self.label = label

        def subgraph(self, name):
            self.boxes.append((name, box := Drawing()))
            return box

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setitem(sys.modules, "graphviz", SimpleNamespace(Digraph=Drawing))
    graph = graph_of(5).graph()
    drawing = graph.graphviz()
    ((name, box),) = drawing.boxes
    assert name == "cluster_dataset" and box.label == "dataset (5)"
    assert box.nodes == [vertex.key for vertex in graph.vertices if vertex.plate == "dataset"]
    assert len(box.nodes) + len(drawing.nodes) == len(graph.vertices)
    assert drawing.edges == list(graph.edges)
