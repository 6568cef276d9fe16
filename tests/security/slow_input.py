"""The regular expressions of the program, and texts on which a backtracking engine takes longest."""

import ast
import importlib
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pixyproxy

METHODS = ("match", "fullmatch", "search", "findall", "finditer", "sub", "subn", "split")
LIMIT = 20.0
"""Units of `_work` that a part of a request may take to read: some 20 ms on an idle machine."""
_UNIT_S = 0.001
SIZE = 16 * 1024
_ROUNDS = ((16, 96), (20, 64), (24, 64), (64, 48), (512, 16), (4096, 8), (SIZE, 0))
"""Lengths of texts, and how many of the slowest go on to the next: what is slow is found before it takes minutes."""
_MAX_UNITS = 16
_EVERYWHERE = (*" \t\r\n\x00", "a", "0", "-", ",", ";", '"', "/", "é")


@dataclass(frozen=True)
class Expression:
    """A regular expression at its place in the source, and the methods by which it is used."""

    place: str
    pattern: re.Pattern[Any]
    methods: tuple[str, ...]


def expressions() -> list[Expression]:
    """Return every regular expression in the source of the program.

    Raises:
        NameError: an expression is made of local names; make it a constant of its module.
    """
    trees = {name: ast.parse(text) for name, text in _sources()}
    everywhere = _methods_by_name(trees.values())
    found = []
    for name, tree in trees.items():
        assert not [*_hidden_imports(tree)], f"{name}: import re as a module, so that its expressions are found"
        here = set().union(*_methods_by_name([tree]).values())
        for parent in ast.walk(tree):
            for node in ast.iter_child_nodes(parent):
                if isinstance(node, ast.Call) and (function := _function_of_re(node)) is not None:
                    pattern, methods = _evaluated(node, function, vars(importlib.import_module(name)))
                    methods = methods or _methods_of(parent, everywhere) or here or {*METHODS}
                    found.append(Expression(f"{name}:{node.lineno}", pattern, tuple(sorted(methods))))
    return found


def slowest(use: Callable[[Any], object], shapes: Iterable["Shape"]) -> str | None:
    """Return a description of a text of up to 16 KiB that takes `use` longer than LIMIT, None if there is none."""
    for size, going_on in _ROUNDS:
        times = []
        for shape in shapes:
            taken = _units(use, text := shape.text(size))
            if taken > LIMIT:
                return f"{taken:.0f} units for {text[:24]!r}…{text[-8:]!r} of {len(text)}"
            times.append((taken, shape))
        shapes = [shape for _, shape in sorted(times, key=lambda each: -each[0])[:going_on]]
    return None


@dataclass(frozen=True)
class Shape:
    """Texts of any length: a start, a unit many times, and an end."""

    start: str
    unit: str
    end: str
    is_bytes: bool = False

    def text(self, size: int) -> Any:
        """Return the text of about this length, in bytes for an expression of bytes."""
        text = self.start + self.unit * ((size - len(self.start)) // len(self.unit)) + self.end
        return text.encode("latin-1", "replace") if self.is_bytes else text


def worst_shapes(pattern: re.Pattern[Any]) -> list[Shape]:
    """Return texts made of the parts of an expression.

    Each is the beginning of a text that matches, one or two characters that it knows many times, and an end that fails.
    """
    is_bytes = isinstance(pattern.pattern, bytes)
    tree = parser.parse(pattern.pattern, pattern.flags)
    sample = [*_sample(tree)]
    known = list(dict.fromkeys(_characters(tree)))
    pairs = map("".join, itertools.permutations(known[:_MAX_UNITS], 2))
    groups = ["".join(_sample(inner)) for inner in _repeated(tree)]
    starts = dict.fromkeys("".join(sample[:end]) for end in range(min(len(sample), 12) + 1))
    units = dict.fromkeys([*known, *_EVERYWHERE, *pairs, *groups, *starts, "".join(sample)])
    ends = dict.fromkeys(["", "\n", "\x00!", "".join(sample[-1:])])
    return [Shape(*parts, is_bytes) for parts in itertools.product(starts, filter(None, units), ends)]


def _units(use: Callable[[Any], object], text: Any) -> float:
    """Return the processor time of `use`; above 5 ms, of the fastest of twelve runs and against that of `_work`.

    A machine that is busy, or slow, takes longer for both.
    """
    fastest = _seconds(lambda: use(text)) / _UNIT_S
    if fastest < LIMIT / 4:
        return fastest
    for _ in range(12):
        unit_s = max(_seconds(_work), _UNIT_S)
        fastest = min(fastest, _seconds(lambda: use(text)) / unit_s)
        if fastest <= LIMIT or fastest > 10 * LIMIT:
            break
    return fastest


def _seconds(run: Callable[[], object]) -> float:
    start = time.thread_time()
    run()
    return time.thread_time() - start


def _work() -> str:
    """Do what takes an interpreter about a millisecond."""
    return "".join(chr(97 + number % 26) for number in range(10_000))


def _sources() -> Iterator[tuple[str, str]]:
    """Yield name and text of the modules that import regular expressions."""
    root = Path(pixyproxy.__path__[0])
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"^\s*(import|from) .*\bre(gex)?\b", text, re.MULTILINE):
            yield ".".join(["pixyproxy", *path.relative_to(root).with_suffix("").parts]), text


def _hidden_imports(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the imports of regular expressions under another name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in {"re", "regex"}:
            yield node
        if isinstance(node, ast.Import):
            yield from (node for name in node.names if name.name == "regex" or (name.name == "re" and name.asname))


def _function_of_re(node: ast.Call) -> str | None:
    function = node.func
    is_of_re = (
        isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "re"
    )
    return function.attr if is_of_re and function.attr in ("compile", *METHODS) else None


def _methods_by_name(trees: Any) -> dict[str, set[str]]:
    """Return the methods of expressions that are called on each name, whatever module it is in."""
    used: dict[str, set[str]] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in METHODS and isinstance(node.value, ast.Name):
                used.setdefault(node.value.id, set()).add(node.attr)
    return used


def _evaluated(node: ast.Call, function: str, names: dict[str, Any]) -> tuple[re.Pattern[Any], set[str]]:
    """Return the expression of a call, and the method if the call uses it too."""

    def value(part: ast.expr) -> Any:
        return eval(compile(ast.Expression(part), "<expression>", "eval"), dict(names))

    return (value(node), set()) if function == "compile" else (re.compile(value(node.args[0])), {function})


def _methods_of(parent: ast.AST, used: dict[str, set[str]]) -> set[str]:
    """Return the methods by which an expression is used at once, or by the name that it is assigned to."""
    if isinstance(parent, ast.Attribute):
        return {parent.attr}
    target = parent.targets[0] if isinstance(parent, ast.Assign) else None
    return used.get(target.id, set()) if isinstance(target, ast.Name) else set()


def _sample(tree: Any) -> Iterator[str]:
    """Yield the characters of a short text that matches."""
    for code, value in tree:
        if code is codes.BRANCH:
            yield from _sample(value[1][0])
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            for _ in range(max(1, min(value[0], 8))):
                yield from _sample(value[2])
        elif code is codes.SUBPATTERN:
            yield from _sample(value[3])
        elif code is codes.ATOMIC_GROUP:
            yield from _sample(value)
        elif code in (codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY):
            yield _member(code, value)


def _characters(tree: Any) -> Iterator[str]:
    """Yield a character for each character class in the expression."""
    for code, value in tree:
        if code in (codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY):
            yield _member(code, value)
        else:
            for inner in _inner(code, value):
                yield from _characters(inner)


def _repeated(tree: Any) -> Iterator[Any]:
    for code, value in tree:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            yield value[2]
        for inner in _inner(code, value):
            yield from _repeated(inner)


def _inner(code: Any, value: Any) -> list[Any]:
    if code is codes.BRANCH:
        return list(value[1])
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return [value[2]]
    if code is codes.SUBPATTERN:
        return [value[3]]
    if code is codes.ATOMIC_GROUP:
        return [value]
    return [value[1]] if code in (codes.ASSERT, codes.ASSERT_NOT) else []


def _member(code: Any, value: Any) -> str:
    """Return a character of a class."""
    if code is codes.LITERAL:
        return chr(value)
    candidates = ("a", "0", " ", ".", "-", "x", "~", "é", *map(chr, range(256)))
    if code is codes.ANY:
        return "a"
    if code is codes.NOT_LITERAL:
        return next(char for char in candidates if ord(char) != value)
    class_ = parser.SubPattern(parser.State(), [(codes.IN, value)])
    compiled = re._compiler.compile(class_)  # type: ignore[attr-defined]
    return next(char for char in candidates if compiled.fullmatch(char))
