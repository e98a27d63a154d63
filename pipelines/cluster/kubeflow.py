"""How this project talks to a Kubeflow Pipelines API: who we are, how patiently, clear errors."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gtrans_core.errors import ConfigError, KubeflowError, StorageError
from gtrans_core.storage import without_secrets
from gtrans_core.storage.retry import TransientError, retrying

if TYPE_CHECKING:
    from kfp import Client
    from kfp_server_api import ApiException

TOKEN_VARIABLE = "GTRANS_KFP_TOKEN"  # noqa: S105  # nosec B105  # a variable's name
HOST_VARIABLE = "GTRANS_KFP_HOST"
SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105  # nosec B105  # a path
"""Of a pod's service account; ``KF_PIPELINES_SA_TOKEN_PATH`` names another file."""
REQUEST_SECONDS = 30
"""How long one request may take."""

_BUSY = (429, 500, 502, 503, 504)
_REFUSED = (401, 403)
_REASON_LENGTH = 300

T = TypeVar("T")


class Kubeflow:
    """A Kubeflow Pipelines API.

    Credentials are, in this order: the token in ``GTRANS_KFP_TOKEN``, the service account's in a
    pod, or what an existing kfp context holds (``~/.config/kfp/context.json``).

    Args:
        host: its address.
        namespace: of a multi-user installation; empty: that of the context, or none.

    Raises:
        ConfigError: without an address, or for one that is none.
        KubeflowError: when it cannot be reached or refuses.
    """

    def __init__(self, host: str, namespace: str) -> None:
        self.host = _checked_address(host)
        self.client = self._connect(namespace)
        self.namespace = namespace or self.client.get_user_namespace() or None

    def call(self, doing: str, request: Callable[[], T], *, repeatable: bool = True) -> T:
        """What a request answers; tried again while the server is busy or away.

        Args:
            doing: what for, for the error: ``start the run``.
            request: one request of ``client``.
            repeatable: whether doing it twice does no harm. What is not is tried again only when
                the server has said that it did not do it.

        Raises:
            KubeflowError: naming the address, what was refused and why.
        """
        import urllib3
        from kfp_server_api import ApiException

        def attempt() -> T:
            # kfp prints links of its own.
            with contextlib.redirect_stdout(io.StringIO()):
                try:
                    return request()
                except ApiException as error:
                    if error.status in _BUSY:
                        raise TransientError(f"the server says {error.status}") from None
                    raise KubeflowError(self._refusal(doing, error)) from None
                except urllib3.exceptions.HTTPError as error:
                    if repeatable or _not_sent(error):
                        raise TransientError(f"no answer ({_root_of(error)})") from None
                    raise KubeflowError(
                        f"{self._name}: cannot {doing}: no answer within {REQUEST_SECONDS} s; it "
                        "may have been done all the same: see `gtrans runs`"
                    ) from None
                except (ValueError, TypeError, AttributeError):
                    # kfp's answer to what is not the API: a login page, somebody else's JSON.
                    raise KubeflowError(
                        f"{self._name}: cannot {doing}: the answer is not that of a Kubeflow "
                        "Pipelines API (v2beta1); is the address right, are you logged in?"
                    ) from None

        try:
            return retrying(f"{self._name}: cannot {doing}", attempt)
        except StorageError as error:
            raise KubeflowError(str(error)) from None

    def run_page(self, run_id: str) -> str:
        """The address of a run's page."""
        return f"{self.host}/#/runs/details/{run_id}"

    @property
    def _name(self) -> str:
        return f"Kubeflow at {without_secrets(self.host)}"

    def _connect(self, namespace: str) -> Client:
        from kfp import Client
        from kfp.client import ServiceAccountTokenVolumeCredentials

        answer = self.call

        class PatientClient(Client):  # type: ignore[misc] # kfp is untyped
            """kfp's own waits for health 25 seconds with tracebacks, and has no timeout."""

            def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
                del sleep_duration
                api = self._healthz_api
                _limit_time(api.api_client.rest_client)
                return answer("ask for its health", api.healthz_service_get_healthz)

        token = os.environ.get(TOKEN_VARIABLE) or None
        file = os.environ.get("KF_PIPELINES_SA_TOKEN_PATH") or SERVICE_ACCOUNT_TOKEN
        in_pod = token is None and Path(file).is_file()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            client = PatientClient(
                host=self.host,
                existing_token=token,
                credentials=ServiceAccountTokenVolumeCredentials(file) if in_pod else None,
                namespace=namespace or "kubeflow",  # kfp's word for none
            )
        _limit_time(client._run_api.api_client.rest_client)
        return client

    def _refusal(self, doing: str, error: ApiException) -> str:
        said = f"{self._name}: cannot {doing}: {_reason(error)} ({error.status})"
        if error.status in _REFUSED:
            return (
                f"{said}; set {TOKEN_VARIABLE} to a valid token, and check that it may use the "
                "namespace"
            )
        return said


def _checked_address(host: str) -> str:
    if not host:
        raise ConfigError(
            f"where is Kubeflow? Give --host, cluster.host in the profile, or {HOST_VARIABLE}"
        )
    if not host.startswith(("http://", "https://")):
        raise ConfigError(f"host {host}: expected http://... or https://...")
    if without_secrets(host) != host:
        raise ConfigError(f"the host must not hold a password; set {TOKEN_VARIABLE}")
    return host.rstrip("/")


def _limit_time(rest_client: Any) -> None:
    """Every request of a client ends within ``REQUEST_SECONDS``; our retries are the only ones."""
    import urllib3

    if "request" in vars(rest_client):
        return
    unlimited = rest_client.request

    def request(*arguments: Any, _request_timeout: Any = None, **options: Any) -> Any:
        limit = _request_timeout or REQUEST_SECONDS
        return unlimited(*arguments, _request_timeout=limit, **options)

    rest_client.request = request
    rest_client.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(0)


def _not_sent(error: Exception) -> bool:
    import urllib3

    return isinstance(_root(error), urllib3.exceptions.NewConnectionError)


def _root(error: Exception) -> Exception:
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, Exception) else error


def _root_of(error: Exception) -> str:
    return type(_root(error)).__name__


def _reason(error: ApiException) -> str:
    """The server's own words: one line of its JSON, or the status' name."""
    try:
        body = json.loads(error.body)
        text = body.get("message") or body.get("error") or ""
    except (TypeError, ValueError, AttributeError):
        text = ""
    return " ".join(str(text).split())[:_REASON_LENGTH] or str(error.reason)
