"""A small disk for a server to fill up."""

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: int) -> Generator[None]:
    """A tmpfs of `size` bytes on `folder`, which anyone may write, until the block ends. Skips the test without the right
    to mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = [shutil.which("mount") or "/bin/mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(folder)]
    if not Path(mount[0]).exists() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield
    finally:
        # At once, also while a child of the server that used it is still ending.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
