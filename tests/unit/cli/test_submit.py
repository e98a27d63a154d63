"""``gtrans submit``, ``runs``, ``stop``, ``schedule`` against an API that holds to the schema."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans.pipelines.cluster import kubeflow
from gtrans.pipelines.cluster import submit as verbs
from gtrans.pipelines.gates import load_gate
from gtrans_core.config import GTransConfig
from gtrans_core.errors import ConfigError, KubeflowError
from tests.support.kfp_api import API, KfpApi, Refused, kfp_api
from tests.support.odd_server import ODD_ANSWERS, answering, certificate, speaking

pytestmark = pytest.mark.usefixtures("quick_kubeflow")

PROFILES = Path(__file__).parents[3] / "pipelines" / "profiles"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KfpApi]:
    monkeypatch.setattr(verbs, "POLL_SECONDS", 0.01)
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "3")
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name in ("GTRANS_KFP_TOKEN", "GTRANS_KFP_HOST", "KF_PIPELINES_SA_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with kfp_api() as api:
        yield api


def gtrans(api: KfpApi, verb: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [verb, *arguments, "--host", api.url])


def submit(api: KfpApi, *arguments: str) -> Result:
    return gtrans(api, "submit", "--data", "mvtec", *arguments)


def succeeded(result: Result) -> Result:
    assert result.exit_code == 0, (result.output, result.exception)
    return result


class TestSubmit:
    def test_one_category_is_uploaded_started_and_followed(self, api: KfpApi):
        result = succeeded(submit(api, "--category", "bottle", "--wait"))
        [run] = api.runs.values()
        assert f"bottle: {api.url}/#/runs/details/{run['run_id']}" in result.stdout
        assert result.stdout.splitlines()[1:] == [
            "[bottle ingest] RUNNING",
            "[bottle] RUNNING",
            "[bottle ingest] SUCCEEDED",
            "[bottle] SUCCEEDED",
        ]
        given = run["runtime_config"]["parameters"]
        assert GTransConfig.from_json(given["config"]) == GTransConfig()
        assert (given["category"], given["source"]) == ("bottle", "mvtec")
        assert given["store"] == "/gtrans-store/store"
        assert given["tracking_uri"].startswith("http://mlflow.")
        assert given["node_selector"] == {}

    def test_what_tiles_cost_is_said_before_it_starts(self, api: KfpApi):
        result = succeeded(submit(api, "-c", "bottle", "--set", "image.tiles=[2, 3]"))
        assert "note: 2 x 3 tiles: an image takes 6 times the time" in result.stderr

    def test_several_are_one_run_with_a_gate_each(self, api: KfpApi):
        succeeded(submit(api, "--category", "bottle", "screw", "--profile", "cluster-gpu"))
        [run] = api.runs.values()
        given = run["runtime_config"]["parameters"]
        gate = load_gate().to_json()
        assert given["categories"] == [
            {"category": "bottle", "gate": gate},
            {"category": "screw", "gate": gate},
        ]
        assert given["accelerator_node_selector"] == {"nvidia.com/gpu.present": "true"}
        [toleration] = given["accelerator_tolerations"]
        assert toleration["key"] == "nvidia.com/gpu"

    def test_all_are_those_of_the_source_and_may_be_separate(self, api: KfpApi):
        succeeded(submit(api, "--category", "all", "--separate"))
        assert len(api.runs) == 15
        assert {run["display_name"] for run in api.runs.values()} >= {"bottle", "zipper"}

    def test_the_same_yaml_is_uploaded_once_and_an_image_makes_another(self, api: KfpApi):
        for image in ("", "", "plant/gtrans@sha256:01"):
            succeeded(submit(api, "--category", "bottle", "--image", image))
        assert len(api.pipelines) == 1
        assert len(api.versions) == 2
        last = list(api.versions.values())[-1]["pipeline_spec"]["pipeline_spec"]
        images = {one["container"]["image"] for one in last["deploymentSpec"]["executors"].values()}
        assert images == {"plant/gtrans@sha256:01"}

    def test_a_failed_run_is_the_exit_code_and_named(self, api: KfpApi):
        api.script = [{"": "FAILED", "train": "FAILED"}]
        result = submit(api, "--category", "bottle", "--wait")
        assert isinstance(result.exception, KubeflowError)
        assert "1 of 1 runs did not succeed: bottle FAILED (http://127" in str(result.exception)
        assert "[bottle train] FAILED" in result.stdout

    def test_a_wait_outlives_a_server_that_restarts(self, api: KfpApi):
        down = iter(range(2))

        def fault(method: str, path: str) -> None:
            if path.startswith(f"{API}/runs/") and next(down, None) is not None:
                raise Refused(503, "upstream connect error")

        api.before.append(fault)
        succeeded(submit(api, "--category", "bottle", "--wait"))

    def test_the_experiment_and_the_namespace(self, api: KfpApi):
        api.multi_user = True
        arguments = ["--category", "bottle", "--experiment", "lab", "--namespace", "team-a"]
        succeeded(submit(api, *arguments))
        [experiment] = api.experiments.values()
        assert (experiment["display_name"], experiment["namespace"]) == ("lab", "team-a")

    def test_the_service_account_of_the_pods(self, api: KfpApi, tmp_path: Path):
        shipped = (PROFILES / "cluster-cpu.toml").read_text()
        profile = tmp_path / "plant.toml"
        profile.write_text(shipped.replace("# service_account", "service_account"))
        succeeded(submit(api, "--category", "bottle", "--profile", str(profile)))
        nightly = ["--category", "bottle", "--data", "mvtec", "--cron", "0 0 3 * * *"]
        succeeded(gtrans(api, "schedule", *nightly, "--profile", str(profile)))
        for made in (*api.runs.values(), *api.recurring.values()):
            assert made["service_account"] == "gtrans-steps"


class TestWhoWeAre:
    def test_a_token_of_the_environment(self, api: KfpApi, monkeypatch: pytest.MonkeyPatch):
        api.token = "CANARY-token"
        monkeypatch.setenv("GTRANS_KFP_TOKEN", "CANARY-token")
        assert "CANARY" not in succeeded(submit(api, "--category", "bottle", "--wait")).output

    def test_the_service_account_of_a_pod(
        self, api: KfpApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        api.token = "of-the-pod"
        (tmp_path / "token").write_text("of-the-pod")
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
        succeeded(gtrans(api, "runs"))

    def test_an_existing_kfp_context(self, api: KfpApi, tmp_path: Path):
        context = {"namespace": "team-b"}
        (tmp_path / "context.json").write_text(json.dumps(context))
        succeeded(submit(api, "--category", "bottle"))
        [experiment] = api.experiments.values()
        assert experiment["namespace"] == "team-b"

    def test_nobody_is_told_what_to_set_at_once(self, api: KfpApi):
        api.token = "another"
        result = submit(api, "--category", "bottle")
        assert isinstance(result.exception, KubeflowError)
        message = str(result.exception)
        assert "Unauthenticated" in message
        assert "(401); set GTRANS_KFP_TOKEN" in message
        assert "\n" not in message
        assert len(api.requests) == 1


class TestFaults:
    def test_a_server_that_stays_busy_is_given_up_on_in_one_line(self, api: KfpApi):
        def fault(method: str, path: str) -> None:
            raise Refused(503, "no healthy upstream")

        api.before.append(fault)
        result = gtrans(api, "runs")
        assert isinstance(result.exception, KubeflowError)
        assert "the server says 503; gave up after" in str(result.exception)
        assert len(api.requests) > 1

    def test_a_slow_start_is_not_repeated(self, api: KfpApi, monkeypatch: pytest.MonkeyPatch):
        """The server may have started it: a second request would be a second run."""
        monkeypatch.setattr(kubeflow, "REQUEST_SECONDS", 1)

        def fault(method: str, path: str) -> None:
            if (method, path) == ("POST", f"{API}/runs"):
                time.sleep(2)

        api.before.append(fault)
        result = submit(api, "--category", "bottle")
        assert isinstance(result.exception, KubeflowError)
        assert "may have been done all the same: see `gtrans runs`" in str(result.exception)
        assert api.requests.count(("POST", f"{API}/runs")) == 1

    def test_a_slow_look_is(self, api: KfpApi, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(kubeflow, "REQUEST_SECONDS", 1)
        delays = iter((2,))
        api.before.append(lambda method, path: time.sleep(next(delays, 0)))
        succeeded(gtrans(api, "runs"))

    def test_nobody_at_the_address(self, api: KfpApi, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("GTRANS_RETRY_SECONDS", "0.5")
        result = CliRunner().invoke(app, ["runs", "--host", "http://127.0.0.1:9"])
        assert isinstance(result.exception, KubeflowError)
        assert "Kubeflow at http://127.0.0.1:9: cannot" in str(result.exception)
        assert "\n" not in str(result.exception)

    def test_a_refused_parameter_is_told_in_the_servers_words(self, api: KfpApi):
        def fault(method: str, path: str) -> None:
            if (method, path) == ("POST", f"{API}/runs"):
                raise Refused(400, "Invalid input error: parameter config")

        api.before.append(fault)
        result = submit(api, "--category", "bottle")
        assert "Invalid input error: parameter config (400)" in str(result.exception)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--host", "kubeflow.plant"], "expected http://... or https://..."),
            (["--host", "http://kubeflow/#/pipelines"], "take only what comes before"),
            (["--host", "http://:80"], "names no host"),
            (["--host", "http://me:secret@kubeflow"], "must not hold a password"),
            ([], "where is Kubeflow?"),
            (["--host", "http://127.0.0.1:9", "--profile", "local"], r"names no \[cluster\]"),
        ],
    )
    def test_a_wrong_place(self, api: KfpApi, arguments: list[str], message: str):
        result = CliRunner().invoke(app, ["submit", "-c", "demo", *arguments])
        with pytest.raises(ConfigError, match=message):
            raise result.exception
        assert api.requests == []


class TestRunsAndSchedules:
    def test_a_run_is_listed_and_stopped(self, api: KfpApi):
        succeeded(submit(api, "--category", "bottle"))
        [run] = api.runs.values()
        assert run["run_id"] in succeeded(gtrans(api, "runs")).stdout
        [told] = json.loads(succeeded(gtrans(api, "runs", "--json")).stdout)
        assert list(told) == ["run", "name", "state", "started"]
        assert told["run"] == run["run_id"]
        succeeded(gtrans(api, "stop", run["run_id"]))
        assert run["state"] == "CANCELING"

    def test_a_run_that_is_not_there(self, api: KfpApi):
        result = gtrans(api, "stop", "none")
        assert "cannot stop the run none: run none not found (404)" in str(result.exception)

    def test_training_each_night(self, api: KfpApi):
        nightly = ["--cron", "0 0 3 * * *"]
        where = ["--category", "bottle", "screw", "--data", "s3://plant/images"]
        succeeded(gtrans(api, "schedule", *nightly, *where))
        first, second = api.recurring.values()
        assert first["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
        assert (first["no_catchup"], first["mode"]) == (True, "ENABLE")
        assert second["runtime_config"]["parameters"]["category"] == "screw"
        listed = succeeded(gtrans(api, "runs", "--schedules")).stdout
        assert first["recurring_run_id"] in listed
        told = json.loads(succeeded(gtrans(api, "runs", "--schedules", "--json")).stdout)
        assert [(one["schedule"], one["cron"], one["state"]) for one in told] == [
            (one["recurring_run_id"], "0 0 3 * * *", "on") for one in (first, second)
        ]
        succeeded(gtrans(api, "stop", "--schedule", first["recurring_run_id"]))
        assert list(api.recurring) == [second["recurring_run_id"]]

    def test_drift_each_hour(self, api: KfpApi):
        hourly = ["--cron", "0 0 * * * *", "--drift", "--since", "1d"]
        succeeded(gtrans(api, "schedule", *hourly, "--category", "bottle"))
        [made] = api.recurring.values()
        given = made["runtime_config"]["parameters"]
        assert (given["category"], given["since"]) == ("bottle", "1d")

    def test_a_cron_of_five_fields_is_refused(self, api: KfpApi):
        result = gtrans(api, "schedule", "--cron", "0 3 * * *", "--drift", "-c", "bottle")
        assert isinstance(result.exception, ConfigError)
        assert "expected six fields" in str(result.exception)
        assert not api.recurring


@pytest.mark.parametrize("verb", ["submit", "schedule"])
def test_a_category_of_no_plain_name_sends_no_request(api: KfpApi, verb: str):
    more = ("--cron", "0 0 3 * * *") if verb == "schedule" else ()
    result = gtrans(api, verb, "--data", "mvtec", "my part", *more)
    assert "category 'my part': not a plain name" in str(result.exception)
    assert api.requests == []


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of kfp's own; patience would show."""
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "30")
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name in ("GTRANS_KFP_TOKEN", "GTRANS_KFP_HOST", "KF_PIPELINES_SA_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


VERBS = (
    ["runs"],
    ["runs", "--schedules"],
    ["stop", "some-run"],
    ["stop", "--schedule", "some-schedule"],
    ["submit", "-c", "bottle", "--data", "mvtec"],
    ["schedule", "--cron", "0 0 3 * * *", "-c", "bottle", "--data", "mvtec"],
)


def refused_at(url: str, verb: list[str]) -> str:
    result = CliRunner().invoke(app, [*verb, "--host", url])
    assert isinstance(result.exception, KubeflowError), (result.output, result.exception)
    text = str(result.exception)
    assert text.startswith(f"Kubeflow at {url}: cannot ")
    assert "\n" not in text
    assert "CANARY" not in text
    assert "gave up" not in text
    return text


@pytest.mark.usefixtures("lonely")
class TestWhatIsNoKubeflow:
    @pytest.mark.parametrize("verb", VERBS, ids=" ".join)
    def test_each_verb_says_so_at_once(self, verb: list[str]):
        for odd in ODD_ANSWERS.values():
            with answering(odd) as server:
                refused_at(server.url, verb)
                assert len(server.requests) <= 3

    def test_a_redirect_names_its_target(self):
        with answering(ODD_ANSWERS["a redirect to a login page"]) as server:
            assert ": it redirects to /login (302)" in refused_at(server.url, ["runs"])

    def test_certificates(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        known = certificate(tmp_path)
        with answering(ODD_ANSWERS["404"], known.context) as server:
            text = refused_at(server.url, ["runs"])
            assert "not trusted; set SSL_CERT_FILE, or ca_file under [cluster]" in text
            profile = tmp_path / "plant.toml"
            profile.write_text(
                'store = "/v/store"\ntracking_uri = "http://mlflow"\n[cluster]\n'
                f'ca_file = "{known.authority}"\nvolume = {{ claim = "v", mount = "/v" }}\n'
            )
            assert "(404)" in refused_at(server.url, ["runs", "--profile", str(profile)])
            monkeypatch.setenv("SSL_CERT_FILE", str(known.authority))
            assert "(404)" in refused_at(server.url, ["runs"])
        with answering(ODD_ANSWERS["404"], certificate(tmp_path, days=-3).context) as server:
            assert "has expired" in refused_at(server.url, ["runs"])

    def test_a_port_of_another_protocol(self):
        with speaking(b"SSH-2.0-OpenSSH_9.6\r\n") as place:
            assert "does not speak HTTP" in refused_at(f"http://{place}", ["runs"])
            assert "is it http:// and not https://?" in refused_at(f"https://{place}", ["runs"])


def test_nothing_to_list_is_an_empty_list(api: KfpApi):
    assert succeeded(gtrans(api, "runs")).stdout.split() == [
        "run",
        "name",
        "state",
        "started",
        "(UTC)",
    ]
    succeeded(gtrans(api, "runs", "--schedules"))


@pytest.mark.parametrize("verb", [["submit"], ["schedule", "--cron", "0 0 3 * * *"]])
@pytest.mark.parametrize("data", ["./data", "~/parts", "/srv/images", "/gtrans-store/../etc"])
def test_what_a_pod_cannot_read_is_refused_before_any_request(
    api: KfpApi, verb: list[str], data: str
):
    result = gtrans(api, *verb, "-c", "bottle", "--data", data)
    assert isinstance(result.exception, ConfigError)
    assert "pods cannot read it; expected a folder in /gtrans-store, s3://" in str(result.exception)
    assert api.requests == []


@pytest.mark.parametrize("data", ["s3://plant/images", "mvtec", "/gtrans-store/images"])
def test_what_a_pod_can_read_passes(api: KfpApi, data: str):
    succeeded(gtrans(api, "submit", "-c", "bottle", "--data", data))
