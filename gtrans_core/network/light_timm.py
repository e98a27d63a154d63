"""timm, imported without torch's compiler, which takes longer to import than timm itself.

``import timm`` loads ``torch._dynamo`` for two things that nobody here calls: torchvision asks it
whether it works on a device, and functions are marked that it must leave alone. Both get what they
ask for, but not before they are called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

_UTILITIES = "torch._dynamo.utils"


class _Utilities(ModuleType):
    """Stands for the module until a name of it is used."""

    def is_compile_supported(self, device: Any) -> Any:
        """What torchvision imports, and calls for its deterministic RoI pooling only."""
        return self._real().is_compile_supported(device)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # who looks at all modules uses none
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> Any:
        if sys.modules.get(_UTILITIES) is self:
            del sys.modules[_UTILITIES]
        return import_module(_UTILITIES)


@contextmanager
def _compiler_left_out() -> Iterator[None]:
    if "torch._dynamo" in sys.modules:
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

    utilities = _Utilities(_UTILITIES)
    sys.modules[_UTILITIES] = utilities
    torch.compiler.disable = disable_later  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(_UTILITIES) is utilities:
            del sys.modules[_UTILITIES]


with _compiler_left_out():
    import timm
    from timm.models import FeatureInfo
    from timm.models.efficientnet import EfficientNetFeatures
    from timm.models.mobilenetv3 import MobileNetV3Features

__all__ = ["EfficientNetFeatures", "FeatureInfo", "MobileNetV3Features", "timm"]
