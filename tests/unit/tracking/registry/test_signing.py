"""A version that was registered before there was a key is signed afterwards."""

from __future__ import annotations

import pytest

from gtrans_core.errors import ModelError
from gtrans_core.tracking.registry.registry import fetch_model
from gtrans_core.tracking.registry.signing import sign_version
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.policy import TrustPolicy


@pytest.fixture
def pair(tmp_path):
    private, public = make_key_pair(tmp_path / "keys")
    return SigningKey(private), TrustPolicy(public)


def test_signed_it_is_loaded_where_it_was_refused(shelf, tmp_path, pair):
    key, trust = pair
    uri = shelf.register().uri
    with pytest.raises(ModelError, match=r"not signed \(model.sig is missing\)"):
        fetch_model(shelf.client, uri, tmp_path / "fetched", trust)
    for _ in range(2):
        sign_version(shelf.client, shelf.category, 1, key)
        assert fetch_model(shelf.client, uri, tmp_path / "fetched", trust).is_dir()


def test_what_is_not_as_registered_is_not_signed(shelf, pair):
    shelf.register()
    (shelf.stored(1) / "trans.safetensors").write_text("odd")
    with pytest.raises(ModelError, match=r"trans\.safetensors was changed"):
        sign_version(shelf.client, shelf.category, 1, pair[0])
    assert not (shelf.stored(1).parents[1] / "model.sig").exists()
