"""The service's knobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gtrans_core.config import Section

MEBIBYTE = 2**20


class ServeSettings(Section):
    """Limits and addresses of one service process."""

    host: str = "127.0.0.1"
    """Address to listen at."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """TCP port to listen at."""
    max_request_bytes: Annotated[int, Field(ge=1024, le=2**31)] = 32 * MEBIBYTE
    """Bytes of one request's body, counted as they arrive."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=2**36)] = 128 * MEBIBYTE
    """Bytes of all bodies held at once; a request beyond it is told to come back."""
    client_body_bytes: Annotated[int, Field(ge=1024, le=2**36)] = 64 * MEBIBYTE
    """Of these, bytes for one client (address); the others are for everybody else."""
    max_images: Annotated[int, Field(ge=1, le=128)] = 16
    """Images in one request."""
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Images that wait or are scored, over all requests; beyond it a request is told to return."""
    round_size: Annotated[int, Field(ge=0, le=256)] = 0
    """Images scored side by side; 0: as many as this process has cores."""
    body_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds that a body may take to arrive."""
    min_body_rate: Annotated[int, Field(ge=0, le=2**30)] = 16 * 1024
    """Bytes a second that a body must bring, looked at over any five seconds."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Connections at a time; fewer where the process may open few files."""
    head_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds that a request's head may take, and a new connection until its first."""
    idle_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Seconds that an idle connection is kept."""
    write_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds until a client must have read what it was answered."""
    refusal_seconds: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Seconds until a request is told that there is no room, and longer where many are: clients
    that return at once would cost the others a third of the images a second. 0: at once."""
    feedback_bytes: Annotated[int, Field(ge=0, le=2**50)] = 1024 * MEBIBYTE
    """Bytes of marked images and statements in all; beyond it nothing more is kept."""
    feedback_a_minute: Annotated[int, Field(ge=1, le=10_000)] = 120
    """Images that may be marked in any minute."""
    poll_seconds: Annotated[float, Field(gt=0, le=86_400)] = 15.0
    """Seconds between two looks at the registry for a new champion."""
    drain_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """Seconds that requests under way are given when the service is asked to stop."""

    @property
    def images_a_request(self) -> int:
        """What a request may hold so that an idle service has room for it."""
        return min(self.max_images, self.queue_size)
