"""A checksum at the end of a JSON object: no bit of it can flip unnoticed."""

from __future__ import annotations

import json

import pytest

from gtrans_core.storage.sealed import SealError, sealed, unsealed

TEXTS = ['{"a":1}', '{\n "a": "ä",\n "b": {"c": [1]}\n}\n']


@pytest.mark.parametrize("text", TEXTS)
def test_it_is_json_with_one_key_more_and_the_text_comes_back(text: str):
    data = sealed(text)
    assert json.loads(data) == {**json.loads(text), "check": json.loads(data)["check"]}
    assert json.loads(unsealed(data)) == json.loads(text)


@pytest.mark.parametrize("text", TEXTS)
def test_without_it_a_text_is_read_as_it_is(text: str):
    assert unsealed(text.encode()) == text.encode()


@pytest.mark.parametrize("text", TEXTS)
def test_any_flipped_bit_is_noticed(text: str):
    data = sealed(text)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = json.loads(unsealed(bytes(flipped)))
        except (SealError, ValueError):
            continue
        # The seal's own name or number: a key that no reader of facts knows.
        assert found.keys() - json.loads(text).keys(), bit
