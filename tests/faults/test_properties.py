"""What holds for every manifest and every cache key (config and gate: in their own unit tests)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtrans_core.config import ImageConfig
from gtrans_core.data.manifest import Manifest, Sample, data_digest
from gtrans_core.features.cache_index import CacheIdentity, unique_samples

sha256s = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
samples = st.builds(
    Sample,
    path=st.text(min_size=1, max_size=20),
    sha256=sha256s,
    defect=st.sampled_from(["good", "dent", "odd name"]),
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
    mask=st.none() | st.text(min_size=1, max_size=20),
    mask_sha256=st.none() | sha256s,
)
manifests = st.builds(
    Manifest,
    category=st.text(max_size=10),
    source=st.text(max_size=10),
    split=st.sampled_from(["train", "test"]),
    root=st.text(max_size=10),
    samples=st.lists(samples, min_size=1, max_size=6).map(tuple),
)


def key(manifest: Manifest) -> str:
    return CacheIdentity(
        images=tuple(sample.sha256 for sample in unique_samples(manifest)),
        backbone="b",
        weights_sha256="0" * 64,
        taps=(4, 8, 16),
        mean=(0, 0, 0),
        std=(1, 1, 1),
        image=ImageConfig(),
    ).key


def changed(sha256: str) -> str:
    return ("1" if sha256[0] == "0" else "0") + sha256[1:]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifests") / "train.json"


@given(manifest=manifests)
def test_a_manifest_is_read_as_it_was_written(path: Path, manifest: Manifest) -> None:
    manifest.write(path)
    assert Manifest.read(path) == manifest


@given(manifests, st.randoms(), st.text(max_size=5))
def test_order_and_names_decide_nothing(manifest: Manifest, random, name: str) -> None:
    moved = [one.model_copy(update={"path": name + one.path}) for one in manifest.samples]
    random.shuffle(moved)
    other = manifest.model_copy(update={"root": name, "source": name, "samples": tuple(moved)})
    assert key(other) == key(manifest)
    assert sorted(s.sha256 for s in other.samples) == sorted(s.sha256 for s in manifest.samples)
    assert other.counts() == manifest.counts()


@given(manifests, st.data())
def test_a_copy_adds_nothing_to_the_cache(manifest: Manifest, data: st.DataObject) -> None:
    copy = data.draw(st.sampled_from(manifest.samples)).model_copy(update={"path": "copy"})
    other = manifest.model_copy(update={"samples": (*manifest.samples, copy)})
    assert key(other) == key(manifest)
    assert other.digest != manifest.digest, "but another data set it is"


@given(manifests, st.data())
def test_any_changed_content_or_label_decides(manifest: Manifest, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(manifest.samples) - 1))
    one = manifest.samples[position]

    def with_one(**update: object) -> Manifest:
        listed = list(manifest.samples)
        listed[position] = one.model_copy(update=update)
        return manifest.model_copy(update={"samples": tuple(listed)})

    image = with_one(sha256=changed(one.sha256))
    label = with_one(defect=one.defect + "!")
    mask = with_one(mask_sha256=changed(one.mask_sha256 or "0" * 64))
    assert len({m.digest for m in (manifest, image, label, mask)}) == 4
    assert len({data_digest(m, manifest) for m in (manifest, image, label, mask)}) == 4
    once = [sample.sha256 for sample in manifest.samples].count(one.sha256) == 1
    assert not once or key(image) != key(manifest)
    assert key(label) == key(mask) == key(manifest), "labels and masks are not cached"
