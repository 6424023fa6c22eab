"""Build the compiled NDJSON writer with the C compiler of the machine. Without one the package is complete, only slower."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULE = "dataset_export/encoding/ndjson_native.abi3.so"
SOURCES = "dataset_export/encoding/native"


class CompiledWriter(BuildHookInterface):
    """Compiles for the stable ABI, so that one build serves all Pythons from 3.11 on."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and make it a part of the wheel; or say why not."""
        module = Path(self.root, MODULE)
        module.unlink(missing_ok=True)
        why_not = _why_not() or _compile(Path(self.root, SOURCES), module)
        if why_not:
            self.app.display_warning(f"NDJSON is written by arrow-rs, not by the compiled writer: {why_not}.")
            return
        build_data["artifacts"].append(MODULE)
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"


def _why_not() -> str | None:
    if os.environ.get("DATASET_EXPORT_PURE") == "1":
        return "DATASET_EXPORT_PURE is 1"
    if os.name != "posix" or sys.byteorder != "little":
        return "it is not for this platform"
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python has no stable ABI"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "the headers of Python are not installed"
    return None if shutil.which(_compiler()[0]) else f"there is no C compiler {_compiler()[0]}"


def _compiler() -> list[str]:
    configured = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    return configured if shutil.which(configured[0]) else ["cc"]


def _compile(sources: Path, module: Path) -> str | None:
    """Why it could not be compiled; None when it was."""
    # Optimized as one file it is a twentieth faster, but not every linker can do that.
    return _compile_with(["-flto"], sources, module) and _compile_with([], sources, module)


def _compile_with(more: list[str], sources: Path, module: Path) -> str | None:
    flags = ["-std=c11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", *more]
    if sys.platform == "darwin":
        flags += ["-undefined", "dynamic_lookup"]
    command = [*_compiler(), *flags, "-I", sysconfig.get_path("include"), *map(str, sorted(sources.glob("*.c")))]
    done = subprocess.run([*command, "-o", str(module)], capture_output=True, text=True, check=False)
    return f"{command[0]} failed: {done.stderr.strip()}" if done.returncode else None
