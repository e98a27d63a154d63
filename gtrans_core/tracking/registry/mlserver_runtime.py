"""MLServer's runtime of our models: MLflow's own, with an answer to a caller's mistakes.

It lies in the model, where its ``model-settings.json`` leads MLServer to it; import it from nowhere
else. MLServer imports it before the model's code can be found, so it imports nothing of gtrans.
"""

from __future__ import annotations

from typing import Any

from mlflow.exceptions import MlflowException
from mlserver.errors import InferenceError
from mlserver_mlflow import MLflowRuntime


class Runtime(MLflowRuntime):  # type: ignore[misc]  # MLServer is not installed beside GTrans
    """Says 400 and the reason where MLflow's runtime says 500 and nothing."""

    def decode_request(self, inference_request: Any, default_codec: Any = None) -> Any:
        """The request's inputs, as the model takes them.

        Raises:
            InferenceError: when they are not what their datatype and content type say.
        """
        try:
            return super().decode_request(inference_request, default_codec)
        except Exception as error:  # noqa: BLE001 - codecs raise nearly anything
            raise InferenceError(f"the inputs cannot be decoded: {error}") from None

    async def predict(self, payload: Any) -> Any:
        """Score a request's images.

        Raises:
            InferenceError: when the model, or MLflow before it, refuses what was sent.
        """
        try:
            return await super().predict(payload)
        except MlflowException as error:
            if error.get_http_status_code() >= 500:  # type: ignore[no-untyped-call]
                raise
            # MLflow's own words quote the data before the reason; its cause has the reason alone.
            reason = str(error.__cause__ or error)
            raise InferenceError(" ".join(reason.split())) from None
