"""What every group of knobs is."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)


class Section(BaseModel):
    """A frozen group of knobs that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


def expected(what: str) -> WrapValidator:
    """For a knob of several numbers: whatever is wrong with them, the error says ``what``.

    Pydantic's own errors speak of tuples, and of each type that a knob may have.
    """

    def checked(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except ValidationError:
            raise ValueError(f"expected {what}") from None

    return WrapValidator(checked)
