"""How this project talks to a Kubeflow Pipelines API: who we are, how patiently, clear errors."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gtrans_core.errors import ConfigError, GTransError, KubeflowError, StorageError
from gtrans_core.storage import without_secrets
from gtrans_core.storage.bounded import read_answer
from gtrans_core.storage.connection import connection_fault
from gtrans_core.storage.documents import parse_json
from gtrans_core.storage.retry import RetryPolicy, TransientError, retrying
from gtrans_core.storage.timed import give_deadlines
from gtrans_core.tracking.address import server_problem

if TYPE_CHECKING:
    from kfp import Client
    from kfp_server_api import ApiException

TOKEN_VARIABLE = "GTRANS_KFP_TOKEN"  # noqa: S105  # nosec B105  # a variable's name
HOST_VARIABLE = "GTRANS_KFP_HOST"
SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105  # nosec B105  # a path
"""Of a pod's service account; ``KF_PIPELINES_SA_TOKEN_PATH`` names another file."""
REQUEST_SECONDS = 30
"""How long one request may take."""

CA_VARIABLE = "SSL_CERT_FILE"
TRUST_SETTING = f"{CA_VARIABLE}, or ca_file under [cluster] of the profile,"

_NO_RUN = "00000000-0000-0000-0000-000000000000"
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
        ca_file: PEM file of the authority that signed its certificate; empty: what
            ``SSL_CERT_FILE`` names, or the usual authorities.
        policy: how long to try; by default from the environment.

    Raises:
        ConfigError: without an address, or for an invalid one.
        KubeflowError: when it cannot be reached or refuses.
    """

    def __init__(
        self, host: str, namespace: str, ca_file: str = "", policy: RetryPolicy | None = None
    ) -> None:
        self._policy = policy
        self.host = _checked_address(host)
        self._ca_file = _checked_ca_file(ca_file)
        self.client = self._connect(namespace)
        self.namespace = namespace or self.client.get_user_namespace() or None

    def call(
        self, doing: str, request: Callable[[], T], *, repeatable: bool = True, answers: str = ""
    ) -> T:
        """What a request answers; tried again while the server is busy or away.

        Args:
            doing: what for, for the error: ``start the run``.
            request: one request of ``client``.
            repeatable: whether doing it twice does no harm; if not, it is tried again only when
                the server has said that it did not do it.
            answers: a field that the answer must have; empty: none.

        Raises:
            KubeflowError: naming the address, what was refused and why.
        """
        from kfp_server_api import ApiException

        def attempt() -> T:
            # kfp prints links of its own.
            with contextlib.redirect_stdout(io.StringIO()):
                try:
                    found = request()
                except (GTransError, TransientError):
                    raise
                except ApiException as error:
                    if error.status in _BUSY:
                        raise TransientError(f"the server says {error.status}") from None
                    raise self._refused(doing, error) from None
                except Exception as error:  # noqa: BLE001 - kfp's answer to what is not the API
                    raise self._broken(doing, error, repeatable) from None
            if answers and not getattr(found, answers, None):
                raise self.foreign(doing)
            return found

        try:
            return retrying(f"{self._name}: cannot {doing}", attempt, self._policy)
        except StorageError as error:
            raise KubeflowError(str(error), passing=error.passing) from None

    def require_api(self, doing: str) -> None:
        """Tell an API that has nothing to list from a server that says ``{}`` to everything.

        Raises:
            KubeflowError: when it has even a run that nobody ever started.
        """
        try:
            self.call(doing, lambda: self.client.get_run(_NO_RUN))
        except KubeflowError:
            return
        raise self.foreign(doing)

    def foreign(self, doing: str, came: str = "") -> KubeflowError:
        """What to raise for an answer that is not the API's."""
        return KubeflowError(
            f"{self._name}: cannot {doing}: the answer is not that of a Kubeflow Pipelines API "
            f"(v2beta1){came}; is the address right, are you logged in?"
        )

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
                _read_answers(api.api_client.rest_client)
                return answer("ask for its health", api.healthz_service_get_healthz)

        token = os.environ.get(TOKEN_VARIABLE) or None
        file = os.environ.get("KF_PIPELINES_SA_TOKEN_PATH") or SERVICE_ACCOUNT_TOKEN
        in_pod = token is None and Path(file).is_file()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            try:
                client = PatientClient(
                    host=self.host,
                    existing_token=token,
                    credentials=ServiceAccountTokenVolumeCredentials(file) if in_pod else None,
                    namespace=namespace or "kubeflow",  # kfp's word for none
                    ssl_ca_cert=self._ca_file or None,
                )
            except GTransError:
                raise
            except Exception as error:  # noqa: BLE001 - kfp reads files of its own
                raise KubeflowError(
                    f"{self._name}: kfp's own settings cannot be used ({type(error).__name__}); "
                    "look at ~/.config/kfp"
                ) from None
        _read_answers(client._run_api.api_client.rest_client)
        return client

    def _broken(
        self, doing: str, error: Exception, repeatable: bool
    ) -> KubeflowError | TransientError:
        """What to raise for a conversation that came to nothing."""
        if isinstance(error, ForeignAnswerError):
            return self.foreign(doing, str(error))
        fault = connection_fault(error, TRUST_SETTING)
        if fault is None:
            return self.foreign(doing, f" ({type(error).__name__})")
        if fault.lasting:
            return KubeflowError(f"{self._name}: cannot {doing}: {fault.text}")
        if repeatable or _not_sent(error):
            return TransientError(fault.text)
        return KubeflowError(
            f"{self._name}: cannot {doing}: no answer within {REQUEST_SECONDS} s; it may have "
            "been done all the same: see `gtrans runs`"
        )

    def _refused(self, doing: str, error: ApiException) -> KubeflowError | TransientError:
        if not error.status:  # kfp's word for a certificate
            return self._broken(doing, error, repeatable=True)
        if error.status in _REFUSED:
            return KubeflowError(
                f"{self._name}: cannot {doing}: {_reason(error)} ({error.status}); set "
                f"{TOKEN_VARIABLE} to a valid token, and check that it may use the namespace"
            )
        if 300 <= error.status < 400:
            target = str((error.headers or {}).get("Location", "another address"))
            to = without_secrets(target.partition("?")[0])
            return self.foreign(doing, f": it redirects to {to} ({error.status})")
        if not _own_words(error):
            return self.foreign(doing, f" ({error.status})")
        return KubeflowError(f"{self._name}: cannot {doing}: {_reason(error)} ({error.status})")


class ForeignAnswerError(Exception):
    """An answer that is not JSON as the API writes it; its text says what came."""


def _checked_address(host: str) -> str:
    if not host:
        raise ConfigError(
            f"where is Kubeflow? Give --host, cluster.host in the profile, or {HOST_VARIABLE}"
        )
    if not host.startswith(("http://", "https://")):
        raise ConfigError("the host of Kubeflow: expected http://... or https://...")
    if "@" in host.partition("://")[2].partition("/")[0]:
        raise ConfigError(f"the host must not hold a password; set {TOKEN_VARIABLE}")
    if host != host.strip() or not host.isprintable() or " " in host:
        raise ConfigError("the host of Kubeflow has a space or a control character in it")
    if problem := server_problem(host, "expected http://HOST:PORT"):
        raise ConfigError(f"the host of Kubeflow {problem}")
    return host.rstrip("/")


def _checked_ca_file(path: str) -> str:
    path = path or os.environ.get(CA_VARIABLE, "")
    if path and not Path(path).is_file():
        raise ConfigError(
            f"{path}: no such file; {TRUST_SETTING} must name the PEM file of an authority"
        )
    return path


def _read_answers(rest_client: Any) -> None:
    """Every answer of a client is read before it is believed, and comes in ``REQUEST_SECONDS``.

    Our retries are the only ones; redirects, which lead to login pages, are not followed.
    """
    import urllib3

    if "request" in vars(rest_client):
        return
    unread = rest_client.request

    def request(*arguments: Any, _request_timeout: Any = None, **options: Any) -> Any:
        limit = _request_timeout or REQUEST_SECONDS
        answer = unread(*arguments, _request_timeout=limit, **options)
        try:
            found = parse_json(answer.data)
        except (ValueError, TypeError):
            raise ForeignAnswerError(f": it is no JSON ({answer.status})") from None
        if not isinstance(found, dict):
            raise ForeignAnswerError(f": it is no JSON object ({answer.status})")
        return answer

    rest_client.request = request
    pool = rest_client.pool_manager
    give_deadlines(pool)
    unbounded = pool.request

    def bounded(*arguments: Any, **options: Any) -> Any:
        answer = unbounded(*arguments, **{**options, "preload_content": False})
        answer._body = read_answer(answer)
        return answer

    pool.request = bounded
    retries = urllib3.Retry(0, raise_on_redirect=False)
    rest_client.pool_manager.connection_pool_kw["retries"] = retries


def _not_sent(error: Exception) -> bool:
    import urllib3

    return isinstance(_root(error), urllib3.exceptions.NewConnectionError)


def _root(error: Exception) -> Exception:
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, Exception) else error


def _reason(error: ApiException) -> str:
    """The server's own words: one line of its JSON, or the status' name."""
    return _own_words(error) or str(error.reason)


def _own_words(error: ApiException) -> str:
    """What a server of Kubeflow's says in its JSON."""
    try:
        body = parse_json(error.body)
        text = body.get("message") or body.get("error") or ""
    except (TypeError, ValueError, AttributeError):
        return ""
    return " ".join(str(text).split())[:_REASON_LENGTH]
