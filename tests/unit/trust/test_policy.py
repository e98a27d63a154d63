"""Who may load and make what: nothing unsigned, unless that is said."""

from __future__ import annotations

import pytest

from gtrans_core.errors import ConfigError, ModelError
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.policy import TrustPolicy
from gtrans_core.trust.signature import sign_folder


@pytest.fixture
def pair(tmp_path):
    private, public = make_key_pair(tmp_path / "keys")
    return SigningKey(private), public


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors")
    return folder


def test_by_default_nothing_is_loaded_nor_made(model, monkeypatch):
    monkeypatch.delenv("GTRANS_UNSIGNED_MODELS")
    policy = TrustPolicy.from_environment()
    assert policy == TrustPolicy()
    with pytest.raises(ConfigError, match="it: models must be signed here, and no public key"):
        policy.verify(model, "it")
    with pytest.raises(ConfigError, match="GTRANS_SIGNING_KEY names no private key"):
        policy.require_key(None)


def test_unsigned_is_allowed_when_said(model):
    policy = TrustPolicy(unsigned="allow")
    policy.verify(model, "it")
    policy.require_key(None)


def test_with_a_public_key_everything_must_be_signed_whatever_else_is_said(model, pair):
    key, public = pair
    policy = TrustPolicy(public, unsigned="allow")
    with pytest.raises(ModelError, match="it: not signed"):
        policy.verify(model, "it")
    with pytest.raises(ConfigError, match="names no private key"):
        policy.require_key(None)
    sign_folder(model, key)
    policy.verify(model, "it")
    policy.require_key(key)


def test_keys_that_are_no_pair_are_noticed_before_anything_is_signed(tmp_path, pair):
    _, others = make_key_pair(tmp_path / "others")
    with pytest.raises(ConfigError, match="is not the private key of"):
        TrustPolicy(others).require_key(pair[0])


def test_the_environment_names_key_and_permission(pair, monkeypatch):
    monkeypatch.setenv("GTRANS_PUBLIC_KEY", str(pair[1]))
    assert TrustPolicy.from_environment() == TrustPolicy(pair[1], "allow")
    monkeypatch.setenv("GTRANS_UNSIGNED_MODELS", "yes")
    with pytest.raises(ConfigError, match="GTRANS_UNSIGNED_MODELS is 'yes': expected refuse or"):
        TrustPolicy.from_environment()


def test_a_public_key_that_is_not_there_is_a_mistake_of_the_settings(model, tmp_path):
    with pytest.raises(ConfigError, match="public key cannot be read"):
        TrustPolicy(tmp_path / "none.pem").verify(model, "it")
