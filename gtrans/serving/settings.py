"""The service's knobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gtrans_core.config import Section

MEBIBYTE = 2**20


class ServeSettings(Section):
    """Limits and addresses of one service process."""

    host: str = "127.0.0.1"
    """Address to listen at; the service has no authentication of its own."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """TCP port to listen at."""
    max_request_bytes: Annotated[int, Field(ge=1024, le=2**31)] = 32 * MEBIBYTE
    """Bytes of one request's body, counted as they arrive."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=2**36)] = 128 * MEBIBYTE
    """Bytes of all bodies held at once; a request beyond it is told to come back."""
    max_images: Annotated[int, Field(ge=1, le=128)] = 16
    """Images in one request."""
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Images that wait or are scored, over all requests; beyond it a request is told to return."""
    round_size: Annotated[int, Field(ge=0, le=256)] = 0
    """Images scored side by side in one round; 0: as many as this process has cores."""
    body_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds that a body may take to arrive."""
    poll_seconds: Annotated[float, Field(gt=0, le=86_400)] = 15.0
    """Seconds between two looks at the registry for a new champion."""
    drain_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Seconds that requests under way are given when the service is asked to stop."""

    @property
    def images_a_request(self) -> int:
        """What a request may hold so that an idle service has room for it."""
        return min(self.max_images, self.queue_size)
