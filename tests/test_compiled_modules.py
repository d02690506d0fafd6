"""What the compiled build takes for granted of pyproject.toml's list of modules."""

import ast
import importlib
import pkgutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import kubelatch
from kubelatch._version import is_compiled

ROOT: Final = Path(__file__).parents[1]
_WHEEL: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
PATHS: Final[list[str]] = _WHEEL["targets"]["wheel"]["hooks"]["custom"]["modules"]
MODULES: Final = frozenset(path.removesuffix(".py").replace("/", ".") for path in PATHS)


def classes() -> Iterator[type]:
    """All classes of the package, but for those within functions."""
    for module in pkgutil.walk_packages(kubelatch.__path__, "kubelatch."):
        if module.name != "kubelatch.__main__":
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and value.__module__ == module.name:
                    yield value


def test_the_list_is_of_modules_in_order() -> None:
    assert sorted(set(PATHS)) == PATHS
    sources = Path(kubelatch.__file__).parents[1]
    assert [path for path in PATHS if not (sources / path).is_file()] == []


def test_what_derives_from_a_compiled_class_is_compiled() -> None:
    """Python refuses it otherwise, once the module is imported; some are only for a flag."""
    assert [
        f"{derived.__qualname__} of {derived.__module__} derives from {base.__qualname__}"
        for derived in classes()
        for base in derived.__mro__[1:]
        if base.__module__ in MODULES and derived.__module__ not in MODULES
    ] == []


def test_no_super_call_has_starred_arguments() -> None:
    """mypyc passes them on as one argument each, though the types are right: every request of
    ``--inspect`` ended as an internal error."""
    sources = Path(kubelatch.__file__).parents[1]
    assert [
        f"{path}:{call.lineno}"
        for path in PATHS
        for call in ast.walk(ast.parse((sources / path).read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).startswith("super()")
        and (
            any(isinstance(argument, ast.Starred) for argument in call.args)
            or any(keyword.arg is None for keyword in call.keywords)
        )
    ] == []


def test_the_version_says_which_build_it_is() -> None:
    """All of the list are compiled, or none is."""
    files = [importlib.import_module(name).__file__ or "" for name in MODULES]
    assert {not file.endswith(".py") for file in files} == {is_compiled()}


def test_a_python_that_compiled_code_crashes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hatch_build = pytest.importorskip("hatch_build", reason="hatchling is not installed")
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    with pytest.raises(RuntimeError, match="python/mypy#21133"):
        hatch_build._check_python()


def test_a_build_that_fails_leaves_nothing_in_the_temporary_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hatch_build = pytest.importorskip("hatch_build", reason="hatchling is not installed")
    monkeypatch.setenv("KUBELATCH_COMPILE", "1")
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(_hook: object, directory: Path, _built: Path) -> None:
        directory.joinpath("sources").mkdir()
        raise RuntimeError(directory.name)

    monkeypatch.setattr(hatch_build.CompilingHook, "_compile", fail)
    hook = hatch_build.CompilingHook("", {}, None, None, "", "wheel")
    with pytest.raises(RuntimeError, match="kubelatch-"):
        hook.initialize("standard", {})
    assert list(tmp_path.iterdir()) == []
