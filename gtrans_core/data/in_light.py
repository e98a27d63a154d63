"""Images as they would be in other light, for training (``training.light_augmentation``)."""

from __future__ import annotations

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import ImageArray, decode_view
from gtrans_core.data.view import as_seen, brightness


def decode_in_light(data: bytes, name: str, config: ImageConfig, factor: float) -> ImageArray:
    """What the network sees of an encoded image all of whose pixels are times a factor.

    They are before exposure and region have their say, as in another light. Arguments and errors
    are those of ``decode_view``.
    """
    if factor == 1:
        return decode_view(data, name, config)
    as_taken = config.model_copy(update={"region": None, "exposure": "as_taken"})
    return as_seen(brightness(decode_view(data, name, as_taken), factor), config)
