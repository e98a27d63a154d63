"""What this environment has compiled, for another one that has the same modules.

Compiling torch, MLflow and what they stand on takes half a minute of a core.
"""

from __future__ import annotations

import sys
import sysconfig
from contextlib import suppress
from pathlib import Path


def share_bytecode(environment: Path) -> None:
    """Point from a virtual environment to the bytecode of this one.

    Python itself looks whether it is of the very source that lies there, and compiles what is not.
    """
    ours = Path(sysconfig.get_path("purelib"))
    [theirs] = environment.glob("lib/python*/site-packages")
    for compiled in ours.rglob(f"__pycache__/*.{sys.implementation.cache_tag}.pyc"):
        folder = theirs / compiled.parent.parent.relative_to(ours)
        if (folder / f"{compiled.name.partition('.')[0]}.py").exists():
            target = folder / "__pycache__" / compiled.name
            target.parent.mkdir(exist_ok=True)
            with suppress(FileExistsError):
                target.symlink_to(compiled)
