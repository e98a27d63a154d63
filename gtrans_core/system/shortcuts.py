"""Every way around work that Python and the libraries do for nothing, each with what it saves.

That is CPU seconds of a whole ``gtrans run`` of a tiny category, on two cores that did other work
besides. What saves less than a second of it, or than a tenth of a service's start, does not belong
here.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

_COMPILER = "torch._dynamo"
_COMPILER_UTILITIES = f"{_COMPILER}.utils"
_STEP_OF_KUBEFLOW = "_KFP_RUNTIME"
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h
_LARGEST_INT = 2**31 - 1


@contextmanager
def torch_compiler_left_out() -> Iterator[None]:
    """Import timm within, and torch's compiler stays out. Saves 11 s: 5.8 in each of two steps.

    ``import timm`` loads ``torch._dynamo`` for two things that nobody here calls: torchvision asks
    it whether it works on a device, and functions are marked that it must leave alone. Both get
    what they ask for, but not before they are called.
    """
    import torch

    if _COMPILER in sys.modules:
        yield
        return
    disable: Any = torch.compiler.disable

    def disable_later(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        if function is None:
            return disable(**options)
        disabled = cache(lambda: disable(function, **options))

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return disabled()(*args, **kwargs)

        return call

    utilities = _CompilerUtilities(_COMPILER_UTILITIES)
    sys.modules[_COMPILER_UTILITIES] = utilities
    torch.compiler.disable = disable_later  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(_COMPILER_UTILITIES) is utilities:
            del sys.modules[_COMPILER_UTILITIES]


class _CompilerUtilities(ModuleType):
    """Stands for the module until a name of it is used."""

    def is_compile_supported(self, device: Any) -> Any:
        """What torchvision imports, and calls for its deterministic RoI pooling only."""
        return self._real().is_compile_supported(device)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # who looks at all modules uses none
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> Any:
        if sys.modules.get(_COMPILER_UTILITIES) is self:
            del sys.modules[_COMPILER_UTILITIES]
        return import_module(_COMPILER_UTILITIES)


@contextmanager
def optimizers_without_compiler() -> Iterator[None]:
    """Train within, uncompiled, and torch's compiler stays out. Saves 1.2 s.

    At each step an optimizer imports ``torch._dynamo`` and calls two functions of it, which do
    nothing where nothing is compiled.
    """
    import torch

    if _COMPILER in sys.modules:
        yield
        return
    compiler = _Compiler(_COMPILER)
    sys.modules[_COMPILER] = compiler
    torch._dynamo = compiler
    try:
        yield
    finally:
        compiler.withdraw()


class _Compiler(ModuleType):
    """Stands for the module until anything else of it is used."""

    def graph_break(self) -> None:
        """Means nothing outside of a compilation."""

    def disable(self, function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        """The function as it is: nobody compiles it."""
        return function

    def withdraw(self) -> None:
        """Leave no trace."""
        torch: Any = sys.modules["torch"]
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]
            del torch._dynamo

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # who looks at all modules uses none
            raise AttributeError(name)
        self.withdraw()
        return getattr(import_module(_COMPILER), name)


@contextmanager
def kubeflow_client_left_out() -> Iterator[None]:
    """Import ``kfp`` within, and its client of clusters stays out, with kubernetes. Saves 2.5 s.

    What Kubeflow sets for the process of a step makes ``kfp`` leave the client out; import
    ``kfp.dsl`` later, since it would leave out what a pipeline needs.
    """
    os.environ[_STEP_OF_KUBEFLOW] = "true"
    try:
        yield
    finally:
        del os.environ[_STEP_OF_KUBEFLOW]


@contextmanager
def pandas_left_out() -> Iterator[None]:
    """Import ``mlflow`` within, and pandas and scipy stay out. Saves 1.8 s of a service's start.

    MLflow goes without them, as in an installation that has none: it can read a registry and fetch
    files then, and cannot describe tables. Within a process it stays so.
    """
    hidden = [name for name in ("pandas", "scipy") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not to be found
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextmanager
def requirements_believed() -> Iterator[None]:
    """Save an MLflow model within, and its requirements are not held against what is installed.

    Saves 2 s. MLflow reads what files every installed package has, to warn of a mismatch that
    cannot be: the requirements are the versions that run here.
    """
    environment: Any = import_module("mlflow.utils.environment")
    warn = environment.warn_dependency_requirement_mismatches
    environment.warn_dependency_requirement_mismatches = lambda _requirements: None
    try:
        yield
    finally:
        environment.warn_dependency_requirement_mismatches = warn


def stop_collecting() -> None:
    """Look for no garbage until ``collect_again``: imports leave none. Saves 3.7 s."""
    gc.disable()


def collect_again() -> None:
    """Look for garbage again, but not among what was imported meanwhile."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


@contextmanager
def garbage_left_alone() -> Iterator[None]:
    """Import within, and nothing looks for garbage. Saves 0.4 s of a service's start."""
    stop_collecting()
    try:
        yield
    finally:
        collect_again()


def leave(code: int = 0) -> NoReturn:
    """End this process, but take nothing apart. Saves 1.3 s after ``evaluate`` alone.

    As in an interpreter: threads and pools end, who asked is told, all that was said is out.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter itself calls
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def keep_freed_memory() -> None:
    """Let this process keep what it frees. Saves 9 s in a training of 80 steps.

    Otherwise the kernel zeroes each step's large tensors anew. Without glibc, nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
