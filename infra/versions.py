"""A projection's version is what its code does: changed code is another version, with tables of its own."""

from __future__ import annotations

import ast
import hashlib
import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import domain
from projections.projection import Projection

_STAGE_0 = (
    "projections.rows",
    "projections.documents",
    "projections.events",
    "projections.flags",
    "infra.documents",
)


@cache
def stage_0_version() -> str:
    """The version of the index, identities and documents: all event types and the code that judges them."""
    language = [f"domain.{module.name}" for module in pkgutil.iter_modules(domain.__path__)]
    return _fingerprint((*language, *_STAGE_0))


def version(projection: Projection) -> str:
    """The version of a projection: stage 0's and its own code's."""
    return _fingerprint(projection.modules, stage_0_version())


@cache
def _fingerprint(modules: tuple[str, ...], seed: str = "") -> str:
    found = hashlib.sha256(seed.encode())
    for name in sorted(modules):
        found.update(name.encode() + _code(name))
    return found.hexdigest()[:10]


@cache
def _code(name: str) -> bytes:
    """A module's code without comments, docstrings and layout, which change nothing."""
    path = importlib.import_module(name).__file__
    assert path is not None, f"{name} has a source file"
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    statements: list[ast.AST] = [tree]
    for node in statements:  # those within others too: expressions have no docstrings
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        match body:
            case [ast.Expr(ast.Constant(str())), *_]:
                del body[0]
        statements += body
        for further in ("orelse", "finalbody", "handlers", "cases"):
            statements += getattr(node, further, [])
    found: list[str] = []
    _tell(tree, found.append)
    return "\n".join(found).encode()


def _tell(node: object, say: Callable[[str], None]) -> None:
    """What `ast.dump` says, in a third of its time, which every start of a projector takes."""
    if isinstance(node, ast.AST):
        say(type(node).__name__)
        for name in node._fields:
            if name != "ctx":  # follows from where it stands
                _tell(getattr(node, name, None), say)
    elif isinstance(node, list):
        say(f"[{len(node)}")
        for item in node:
            _tell(item, say)
    else:
        say(repr(node))
