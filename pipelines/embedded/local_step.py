"""The process of one step of the embedded runner, in place of ``python -m kfp.dsl.executor_main``.

The same but for two things. Nothing looks for garbage while a step's libraries are imported: they
leave none, and a seventh of the time went there. And taking apart at the end what torch, timm and
MLflow have made takes an interpreter 1.5 to 3 seconds a step, and the system none.
"""

import atexit
import gc
import os
import sys
import threading

from kfp.dsl.executor_main import executor_main

_OTHERWISE = ["-m", "kfp.dsl.executor_main"]


def main() -> None:
    """Run the step that Kubeflow's arguments name; one that fails ends as any Python does."""
    if sys.argv[1:3] != _OTHERWISE:
        sys.exit(f"expected {_OTHERWISE} and its arguments, not {sys.argv[1:3]}")
    del sys.argv[1:3]  # Python would have kept them to itself
    gc.disable()  # until run_step begins
    executor_main()
    _leave()


def _leave() -> None:
    """As an interpreter: threads and pools end, who asked is told, all that was said is out."""
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter itself calls
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
