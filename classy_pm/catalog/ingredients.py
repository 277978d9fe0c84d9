"""What went into a fit, in words: the payload of its identity as lines that a person can read.

A payload is what `describe` gives: nested data in which a parameter stands at
`parameters[3][1].arguments.sigma`. Here it stands at `line.centre`, with its prior as it was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from classy_pm.catalog.difference import MISSING, differences

__all__ = ["PARTS", "Change", "Ingredient", "changes", "ingredients"]

#: The parts of a payload, and what they are called.
PARTS = {
    "model": "model",
    "data": "data",
    "likelihood": "likelihood",
    "search": "search",
    "extra": "seed and tag",
}
#: Levels of a payload that only say where what a person knows is kept.
UNSAID = {"attributes", "settings", "is"}
#: Deeper than any payload; deeper parts are not taken apart.
DEEPEST = 100
HASHED = 12


class Ingredient(NamedTuple):
    """One thing that went into a fit: of which part, at which place, and what it is."""

    part: str
    place: str
    text: str


class Change(NamedTuple):
    """A place at which two fits differ, and what is there in each."""

    part: str
    place: str
    first: str
    second: str


def ingredients(payload: Mapping[str, Any]) -> list[Ingredient]:
    """Return what went into a fit, in the order of its parts.

    Examples
    --------
    >>> ingredients({"search": {"search": "NUTS", "settings": {"draws": 500}}})
    [Ingredient(part='search', place='', text='NUTS'), Ingredient(part='search', place='draws', text='500')]
    """
    found = []
    for name, content in payload.items():
        part = PARTS.get(name, name)
        lines = _model(content) if name == "model" and _is_model(content) else _leaves(content, "", 0)
        found += [Ingredient(part, place, text) for place, text in lines]
    return found


def changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Change]:
    """Return where two payloads differ; what only one of them has is `MISSING` in the other.

    Examples
    --------
    >>> changes({"extra": {"random_seed": 1}}, {"extra": {"random_seed": 2}})
    [Change(part='seed and tag', place='random_seed', first='1', second='2')]
    """
    one, two = (_by_place(ingredients(payload)) for payload in (first, second))
    found = [
        Change(*key, one.get(key, MISSING), two.get(key, MISSING))
        for key in dict.fromkeys([*one, *two])
        if one.get(key) != two.get(key)
    ]
    told = {change.part for change in found}
    # Order, and what the words leave out, is told as the payloads have it.
    for name in dict.fromkeys([*first, *second]):
        part = PARTS.get(name, name)
        if part not in told:
            for item in differences(first.get(name, MISSING), second.get(name, MISSING)):
                texts = [_text(item.first), _text(item.second)]
                if texts[0] == texts[1]:  # a number, and the same as a text
                    texts = [repr(item.first), repr(item.second)]
                found.append(Change(part, item.path, *texts))
    return found


def _by_place(items: list[Ingredient]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for item in items:
        key = (item.part, item.place)
        found[key] = f"{found[key]}; {item.text}" if key in found else item.text
    return found


# -- the model ------------------------------------------------------------------------------------


def _is_model(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and content.keys() <= {"tree", "parameters", "assertions"}
        and isinstance(content.get("tree"), Mapping)
        and isinstance(content.get("parameters", []), list)
        and isinstance(content.get("assertions", []), list)
        and all(_is_pair(item) for item in content.get("parameters", []))
    )


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)


def _model(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    priors = dict(content.get("parameters", []))
    yield from _node(content["tree"], "", priors, 0)
    for number, assertion in enumerate(content.get("assertions", []), start=1):
        yield f"assertion {number}", _text(assertion)


def _node(node: Any, path: str, priors: dict[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    children = node.get("children") if isinstance(node, Mapping) else None
    if isinstance(children, list) and all(map(_is_pair, children)) and depth < DEEPEST:
        if path or "model" in node:
            yield path, _text(node["model"]) if "model" in node else "Collection"
        for name, child in children:
            yield from _node(child, f"{path}.{name}" if path else name, priors, depth + 1)
    elif isinstance(node, Mapping) and node.keys() == {"parameter"}:
        first = node["parameter"]
        yield path, _prior(priors.get(first)) if first == path else f"is {_text(first)}"
    elif isinstance(node, Mapping) and node.keys() == {"constant"}:
        yield from _leaves(node["constant"], path, depth)
    else:
        yield path, _text(node)


def _prior(prior: Any) -> str:
    if not (isinstance(prior, Mapping) and isinstance(prior.get("arguments"), Mapping)):
        return _text(prior)
    arguments = ", ".join(f"{name}={_text(value)}" for name, value in prior["arguments"].items())
    shape = prior.get("shape")
    return f"{prior.get('prior')}({arguments})" + (f", shape {_text(shape)}" if shape else "")


# -- everything else ------------------------------------------------------------------------------


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Give the places in a value that have no parts which a person would look at by themselves."""
    if value == {}:
        return
    if isinstance(value, Mapping) and not _is_leaf(value) and depth < DEEPEST:
        for key, item in value.items():
            # Of an object the class stands where the object does; so does the class of a search.
            named = key == "class" or (depth == 0 and key in ("search", "likelihood"))
            inner = path if named or key in UNSAID else f"{path}.{key}" if path else key
            yield from _leaves(item, inner, depth + 1)
    elif isinstance(value, list) and depth < DEEPEST and any(_has_parts(item) for item in value):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]", depth + 1)
    else:
        yield path, _text(value)


def _has_parts(value: object) -> bool:
    return isinstance(value, Mapping) and not _is_leaf(value)


def _is_leaf(value: Mapping[str, Any]) -> bool:
    return "sha256" in value or "function" in value or value.keys() == {"parameter"}


def _text(value: Any, depth: int = 0) -> str:
    """Return plain data on one line, as a person would write them."""
    if depth > DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return _text_of_mapping(value, depth)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(item, depth + 1) for item in value)}]"
    return str(value)


def _text_of_mapping(value: Mapping[str, Any], depth: int) -> str:
    if isinstance(value.get("sha256"), str):
        digest = value["sha256"][:HASHED]
        if "array" in value:
            return f"array of {value['array']}, shape {_text(value.get('shape'))}, sha256 {digest}"
        what = ", ".join(f"{key} of {_text(item)}" for key, item in value.items() if key != "sha256")
        return f"{what}, sha256 {digest}"
    if value.keys() == {"parameter"}:
        return _text(value["parameter"], depth + 1)
    if value.keys() == {"constant"}:
        return _text(value["constant"], depth + 1)
    if value.keys() == {"function", "operands"} and isinstance(value["operands"], list):
        return f"{value['function']}({_text(value['operands'], depth + 1)[1:-1]})"
    return "{" + ", ".join(f"{key}: {_text(item, depth + 1)}" for key, item in value.items()) + "}"
