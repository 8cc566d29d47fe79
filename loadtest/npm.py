"""Peers that come from npm: installed into the scenario's folder, versions pinned, nothing of theirs run at install."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from loadtest.processes import ChildFailedError

_PATIENCE_S = 300


def install(folder: Path, packages: Sequence[str]) -> Path:
    """`packages`: name@version each, from whatever registry npm is set up for. Gives the folder of the modules.

    Raises ChildFailedError when npm cannot.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ChildFailedError(f"npm is not installed; it is needed for the comparison with {' '.join(packages)}")
    argv = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *packages]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    if done.returncode:
        raise ChildFailedError(f"npm could not install {' '.join(packages)}:\n{done.stderr[-800:]}")
    return folder / "node_modules"
