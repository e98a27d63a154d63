"""The process of one step of the embedded runner, in place of ``python -m kfp.dsl.executor_main``.

The same, but it begins and ends sooner (``gtrans_core.system.shortcuts``).
"""

import sys

from kfp.dsl.executor_main import executor_main

from gtrans_core.system.shortcuts import leave, stop_collecting

_OTHERWISE = ["-m", "kfp.dsl.executor_main"]


def main() -> None:
    """Run the step that Kubeflow's arguments name; one that fails ends as any Python does."""
    if sys.argv[1:3] != _OTHERWISE:
        sys.exit(f"expected {_OTHERWISE} and its arguments, not {sys.argv[1:3]}")
    del sys.argv[1:3]  # Python would have kept them to itself
    stop_collecting()  # until run_step begins
    executor_main()
    leave()


if __name__ == "__main__":
    main()
