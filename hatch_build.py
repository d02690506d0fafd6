"""Compiles the modules of each request's path with mypyc, if ``KUBELATCH_COMPILE=1`` is set.

Without that the wheel is pure Python, and needs no compiler; an editable installation always is.
pyproject.toml lists the modules. docs/decisions/0094-a-compiled-build.md has the reasons.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Compiled code believes annotations, and those of other packages are not all true (aiohttp's of its
# C parser): they are not read. What is wrong in our own is the ordinary check's to find.
_MYPY = """\
[mypy]
no_site_packages = true
ignore_missing_imports = true
follow_imports = silent
"""
_PURE = "without KUBELATCH_COMPILE the build is pure Python, and works"


class CompilingHook(BuildHookInterface[Any]):
    """See the module."""

    PLUGIN_NAME = "custom"

    @property
    def _compiles(self) -> bool:
        return os.environ.get("KUBELATCH_COMPILE", "0") not in {"", "0"}

    def dependencies(self) -> list[str]:
        """What a build needs besides hatchling."""
        return list(self.config["requires"]) if self._compiles else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and let the wheel have the results beside the sources.

        Raises:
            RuntimeError: modules that are compiled for this Python would not work, or there is no
                C compiler, or it has failed.
        """
        self._directory: str | None = None
        if not self._compiles or version == "editable":
            return
        _check_python()
        self._directory = tempfile.mkdtemp(prefix="kubelatch-")
        built = Path(self._directory, "built")
        try:
            self._compile(Path(self._directory), built)
        except BaseException:
            # Nobody calls finalize then.
            shutil.rmtree(self._directory)
            raise
        for path in built.rglob("*.so"):
            build_data["force_include"][str(path)] = str(path.relative_to(built))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the wheel has now."""
        if self._directory is not None:
            shutil.rmtree(self._directory)

    def _compile(self, directory: Path, built: Path) -> None:
        from mypyc.build import mypycify  # noqa: PLC0415 -- only here if it is needed
        from setuptools import Distribution  # noqa: PLC0415
        from setuptools.command.build_ext import build_ext  # noqa: PLC0415
        from setuptools.errors import CompileError  # noqa: PLC0415

        sources = directory / "sources"
        shutil.copytree(Path(self.root, "proxy"), sources)
        config = directory / "mypy.ini"
        config.write_text(_MYPY)
        before = Path.cwd()
        # mypyc names modules by their paths, and leaves a cache where it runs.
        os.chdir(sources)
        try:
            extensions = mypycify(
                [f"--config-file={config}", *self.config["modules"]],
                debug_level="0",
                target_dir=str(directory / "c"),
                group_name="kubelatch",
            )
            command = build_ext(Distribution({"name": "kubelatch", "ext_modules": extensions}))
            command.build_lib = str(built)
            command.build_temp = str(directory / "objects")
            command.ensure_finalized()
            command.run()
        except CompileError as exc:
            msg = (
                f"the C compiler or Python's headers are missing, or it has failed: {exc}; {_PURE}"
            )
            raise RuntimeError(msg) from exc
        finally:
            os.chdir(before)


def _check_python() -> None:
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        reason = "mypyc compiles for the ordinary CPython only"
    elif sys.version_info >= (3, 14):
        reason = "compiled modules crash on Python 3.14 and later (python/mypy#21133)"
    else:
        return
    msg = f"{reason}; {_PURE}"
    raise RuntimeError(msg)
