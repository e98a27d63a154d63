"""The demo category: repeatable, sound, with masks that are exactly where the defects are."""

import dataclasses
import hashlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from gtrans_core.data.layout import scan_category
from gtrans_core.data.sources.demo import generate_demo
from gtrans_core.data.sources.demo_defects import DEFECTS, GAP, TOLERANCE, defect_mask
from gtrans_core.data.sources.demo_surface import good_surface, render, smooth_noise

SMALL = {"train": 10, "test_good": 2, "per_defect": 1, "size": 96}


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.png")
    }


def defective_pair(name, seed, size=128):
    """A good part and the same part with a defect."""
    rng = np.random.default_rng(seed)
    good = good_surface(rng, size)
    return render(good), render(DEFECTS[name](good, rng))


def test_demo_is_a_sound_category(tmp_path):
    generate_demo(tmp_path / "fabric", **SMALL)
    train, test = scan_category(tmp_path / "fabric", "fabric", "demo")
    assert train.counts() == {"good": 10}
    assert test.counts() == {"good": 2} | dict.fromkeys(DEFECTS, 1)
    assert test.has_masks
    assert {(s.width, s.height) for s in (*train.samples, *test.samples)} == {(96, 96)}
    assert len({s.sha256 for s in (*train.samples, *test.samples)}) == 12 + len(DEFECTS)


def test_same_seed_same_bytes(tmp_path):
    generate_demo(tmp_path / "a", seed=3, **SMALL)
    generate_demo(tmp_path / "b", seed=3, **SMALL)
    generate_demo(tmp_path / "c", seed=4, **SMALL)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert not set(a.values()) & set(c.values())


def test_images_do_not_depend_on_how_many_there_are(tmp_path):
    generate_demo(tmp_path / "small", **SMALL)
    generate_demo(tmp_path / "large", **SMALL | {"train": 12, "test_good": 3, "per_defect": 2})
    small, large = digests(tmp_path / "small"), digests(tmp_path / "large")
    assert small.items() < large.items()


def test_written_mask_is_that_of_the_written_image(tmp_path):
    """The twin is rendered anew from the seed's stream: the file holds what was compared."""
    generate_demo(tmp_path, seed=5, **SMALL)
    for name in DEFECTS:
        image = np.asarray(Image.open(tmp_path / "test" / name / "000.png")).astype(int)
        mask = np.asarray(Image.open(tmp_path / "ground_truth" / name / "000_mask.png"))
        place = int.from_bytes(f"test/{name}".encode())
        stream = np.random.SeedSequence(5, spawn_key=(place, 0))
        good = render(good_surface(np.random.default_rng(stream), SMALL["size"]))
        assert set(np.unique(mask)) == {0, 255}
        change = np.abs(image - good)
        assert change[mask == 0].max() <= TOLERANCE
        assert change[mask > 0].mean() > TOLERANCE


@pytest.mark.parametrize("name", DEFECTS)
@pytest.mark.parametrize("seed", range(5))
def test_mask_is_where_the_pictures_differ(name, seed):
    good, defective = defective_pair(name, seed)
    mask = defect_mask(good, defective)
    changed = np.abs(defective.astype(int) - good).max(axis=2) > TOLERANCE
    assert mask[changed].all()
    assert ndimage.distance_transform_edt(~changed)[mask].max() <= GAP
    assert 30 <= mask.sum() <= 0.35 * mask.size


@pytest.mark.parametrize("name", DEFECTS)
def test_far_from_the_defect_nothing_changes(name):
    good, defective = defective_pair(name, seed=0)
    distance = ndimage.distance_transform_edt(~defect_mask(good, defective))
    far = distance > 20
    assert far.any()
    np.testing.assert_array_equal(good[far], defective[far])


def test_misweave_keeps_the_brightness():
    """Its pattern gives it away, not its mean: each pixel changes much, all together little."""
    changes = []
    for seed in range(20):
        good, defective = defective_pair("misweave", seed)
        mask = defect_mask(good, defective)
        change = defective[mask].astype(float) - good[mask]
        assert np.abs(change).mean() > 10
        changes.append(change.mean())
    assert abs(np.mean(changes)) < 2


def test_defect_free_change_has_an_empty_mask():
    good = render(good_surface(np.random.default_rng(0), 64))
    assert not defect_mask(good, good).any()
    assert not defect_mask(good, good + np.uint8(TOLERANCE)).any()


def test_good_parts_vary_but_stay_in_range():
    means = []
    for seed in range(12):
        image = render(good_surface(np.random.default_rng(seed), 96))
        assert image.dtype == np.uint8
        assert (image == 255).mean() < 0.01
        means.append(image.mean())
    assert 3 < np.std(means) < 20
    assert 60 < np.mean(means) < 130


def test_a_defect_leaves_the_good_surface_as_it_was():
    surface = good_surface(np.random.default_rng(0), 96)
    before = {f.name: getattr(surface, f.name).copy() for f in dataclasses.fields(surface)}
    for defect in DEFECTS.values():
        defect(surface, np.random.default_rng(1))
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(surface, name), value)


@pytest.mark.parametrize("scale", [8.0, 40.0])
def test_smooth_noise_has_the_stated_spread_and_reach(scale):
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_noise(rng, 256, scale, 2.0) for _ in range(200)])
    assert np.std(fields) == pytest.approx(2.0, rel=0.05)
    far = int(8 + 5 * scale)
    correlation = np.corrcoef(fields[:, 128, [8, 9, far]].T)
    assert correlation[0, 1] > 0.97
    assert abs(correlation[0, 2]) < 0.25
