"""The house: which packages are ours, which way the arrows point, and what an import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import derive
import numerics
import validate

ROOT = Path(__file__).resolve().parent.parent
OURS = {"derive", "numerics", "validate"}

# What a folder may import of ours: the longest matching prefix decides.
ALLOWED = {
    "derive": ("derive",),
    "numerics": ("numerics", "derive"),
    "numerics/runtime": ("numerics.runtime",),
    "validate": ("validate", "numerics", "derive"),
    "validate/simulate": ("validate.simulate", "numerics.runtime"),
}
FORBIDDEN = {"numerics": ("derive.papers",)}


@pytest.mark.parametrize("package", [derive, numerics, validate], ids=lambda package: package.__name__)
def test_the_packages_are_ours(package: object) -> None:
    """configobj installs a ``validate`` of its own."""
    name = package.__name__  # type: ignore[attr-defined]
    assert Path(package.__file__).resolve() == ROOT / name / "__init__.py"  # type: ignore[attr-defined]
    assert (package.__doc__ or "").startswith("orderparams: "), "the command line knows our packages by this"


def _imports(path: Path) -> Iterator[str]:
    package = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level]) if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def _wrong(path: Path) -> list[str]:
    relative = path.relative_to(ROOT).as_posix()
    folder = max((key for key in ALLOWED if relative.startswith(key + "/")), key=len)
    return [
        f"{relative} imports {name}"
        for name in _imports(path)
        if name.partition(".")[0] in OURS
        and (not _within(name, ALLOWED[folder]) or _within(name, FORBIDDEN.get(folder, ())))
    ]


def test_arrows_run_one_way() -> None:
    files = [path for package in sorted(OURS) for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 10
    assert [line for path in files for line in _wrong(path)] == []


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, orderparams; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert not {"numpy", "scipy", "sympy", "matplotlib", *OURS} & set(loaded.split())
