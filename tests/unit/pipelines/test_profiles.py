"""Profiles: where a run is kept, and what is refused before it starts."""

import os
from pathlib import Path

import pytest

from gtrans.pipelines.profiles import load_profile
from gtrans_core.errors import ConfigError
from gtrans_core.storage import write_atomic
from gtrans_core.trust.policy import TrustPolicy


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_the_local_profile_derives_its_database_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    profile = load_profile("local")
    assert profile.store == str(tmp_path / "gtrans-store")
    assert profile.tracking_uri == f"sqlite:///{tmp_path}/gtrans-store/mlflow.db"
    assert profile.experiment == "gtrans"


def test_store_and_experiment_of_the_caller_win(tmp_path: Path):
    profile = load_profile("local", store=str(tmp_path), experiment="trial")
    assert (profile.store, profile.experiment) == (str(tmp_path), "trial")
    assert profile.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize("name", ["st?q=1", "st%20x", "a?/b"])
def test_a_store_that_a_database_address_cannot_name_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match=r"store: '(\?|%20)' in its path cannot be part"):
        load_profile("local", store=str(tmp_path / name))
    path = write(tmp_path, f'store = "{tmp_path}/{name}"\ntracking_uri = "http://mlflow:5000"')
    assert load_profile(path).store == str(tmp_path / name)
    for fine in ("50%", "a#b", "grün und blau", "100 %!"):
        load_profile("local", store=str(tmp_path / fine))


def test_a_profile_may_be_a_file_with_a_server(tmp_path: Path):
    path = write(tmp_path, 'store = "/srv/gtrans"\ntracking_uri = "http://mlflow.plant:5000"')
    profile = load_profile(path)
    assert (profile.store, profile.tracking_uri) == ("/srv/gtrans", "http://mlflow.plant:5000")


def test_caches_are_shared_in_a_bucket_or_a_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_profile(write(tmp_path, 'store = "a"')).cache_store == ""
    for text, expected in (("s3://b/caches", "s3://b/caches"), ("b", f"{tmp_path}/b")):
        profile = load_profile(write(tmp_path, f'store = "a"\ncache_store = "{text}"'))
        assert profile.cache_store == expected


def test_unsigned_models_are_refused_unless_a_profile_says_otherwise(tmp_path: Path):
    assert load_profile("local").trust == TrustPolicy(unsigned="allow")
    assert load_profile(write(tmp_path, 'store = "a"')).trust == TrustPolicy()


def test_a_public_key_is_the_profiles_or_else_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GTRANS_PUBLIC_KEY", "/etc/key.pem")
    assert load_profile("local").trust.public_key == Path("/etc/key.pem")
    assert load_profile("local").trust.unsigned_now == "refuse"
    monkeypatch.chdir(tmp_path)
    named = load_profile(write(tmp_path, 'store = "a"\npublic_key = "mine.pem"'))
    assert named.trust.public_key == tmp_path / "mine.pem"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('store = "a"\nunsigned_models = true', "unsigned_models: "),
        ('store = "a"\ncache_store = "gs://b"', "must be s3://bucket/prefix or a folder"),
        ('store = "a"\nstroe = "b"', "unknown key 'stroe'; a profile has cluster, "),
        ('experiment = "a"', "store: Field required"),
        ('store = ""', "store: "),
        ('store = "s3://bucket"', "must be a folder of this machine"),
        ("store = ", "not valid TOML"),
    ],
)
def test_a_wrong_profile_is_refused_with_its_file_and_key(tmp_path: Path, text: str, message: str):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=r"mine\.toml: ") as error:
        load_profile(path)
    assert message in str(error.value)


def test_a_password_in_the_address_is_refused_and_not_repeated(tmp_path: Path):
    path = write(tmp_path, 'tracking_uri = "postgresql://gtrans:CANARY@db/mlflow"')
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD") as error:
        load_profile(path)
    assert "CANARY" not in str(error.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match="'lokal' is not known: use one of cluster-cpu, cluster-gpu, local"
    ):
        load_profile("lokal")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read .*; expected a profile"):
        load_profile(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("said", "file", "folder"),
    [("", 0o600, 0o700), ("private_files = false\n", 0o644, 0o755)],
)
def test_files_are_their_owners_unless_the_profile_says_otherwise(
    tmp_path: Path, said: str, file: int, folder: int
):
    (tmp_path / "profile.toml").write_text(f'store = "store"\n{said}')
    os.umask(0o022)
    load_profile(str(tmp_path / "profile.toml"))
    write_atomic(tmp_path / "store/runs/a.json", b"{}")
    assert (tmp_path / "store/runs/a.json").stat().st_mode & 0o777 == file
    assert (tmp_path / "store").stat().st_mode & 0o777 == folder
