"""MVTec AD 2 and LOCO: as a folder and as an archive, on small stand-ins for the data."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtrans_core.data.layout import scan_category
from gtrans_core.data.listing import list_files
from gtrans_core.data.manifest import Manifest
from gtrans_core.data.reading import read_mask
from gtrans_core.data.sources import mvtec_ad_2, mvtec_loco
from gtrans_core.data.sources.catalogue import categories_of
from gtrans_core.errors import DataError

PICTURES = {"mvtec_ad_2": "walnuts", "mvtec_loco": "pushpins"}


def mask(column: int, value: int = 255) -> bytes:
    marks = np.zeros((16, 16), np.uint8)
    marks[4:7, column : column + 3] = value
    buffer = io.BytesIO()
    Image.fromarray(marks).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def files(picture) -> dict[str, dict[str, bytes]]:
    """A category of each, below its name; the good parts of both folders have the same names."""
    ad_2 = {f"train/good/{n:03}_regular.png": picture(n) for n in range(12)}
    ad_2 |= {f"validation/good/{n:03}_regular.png": picture(50 + n) for n in range(2)}
    ad_2 |= {f"test_public/good/{n:03}_overexposed.png": picture(100 + n) for n in range(3)}
    ad_2 |= {f"test_public/bad/{n:03}_shift_1.png": picture(200 + n) for n in range(2)}
    ad_2 |= {f"test_public/ground_truth/bad/{n:03}_shift_1_mask.png": mask(n + 1) for n in range(2)}
    ad_2 |= {f"test_private{kind}/000.png": picture(300) for kind in ("", "_mixed")}
    loco = {f"train/good/{n:03}.png": picture(n) for n in range(12)}
    loco |= {f"validation/good/{n:03}.png": picture(50 + n) for n in range(2)}
    loco |= {f"test/good/{n:03}.png": picture(100 + n) for n in range(3)}
    for number, kind in enumerate(("logical_anomalies", "structural_anomalies")):
        loco[f"test/{kind}/000.png"] = picture(200 + number)
        loco[f"ground_truth/{kind}/000/000.png"] = mask(1, value=255)
        loco[f"ground_truth/{kind}/000/001.png"] = mask(9, value=254)
    loco["defects_config.json"] = json.dumps(
        [
            {
                "defect_name": name,
                "pixel_value": value,
                "saturation_threshold": enough,
                "relative_saturation": is_share,
            }
            for name, value, enough, is_share in (("a", 255, 3, False), ("b", 254, 0.5, True))
        ]
    ).encode()
    return {
        name: {f"{PICTURES[name]}/{path}": data for path, data in own.items()}
        for name, own in (("mvtec_ad_2", ad_2), ("mvtec_loco", loco))
    }


EXPECTED = {
    "mvtec_ad_2": {"good": 3, "bad": 2},
    "mvtec_loco": {"good": 3, "logical_anomalies": 1, "structural_anomalies": 1},
}


@pytest.mark.parametrize("name", PICTURES)
def test_own_folder(user, tmp_path: Path, write, files, name: str) -> None:
    write(tmp_path / "data", files[name])
    folder = user.fetch(str(tmp_path / "data"), PICTURES[name])
    train, test = scan_category(folder, PICTURES[name], name)
    assert train.counts() == {"good": 14}
    assert test.counts() == EXPECTED[name]
    assert test.has_masks
    assert categories_of(str(tmp_path / "data")) == (PICTURES[name],)
    assert user.fetch(str(tmp_path / "data" / PICTURES[name]), PICTURES[name]) == folder


def test_all_defects_of_a_loco_image_are_marked(user, tmp_path: Path, write, files) -> None:
    write(tmp_path / "data", files["mvtec_loco"])
    _, test = scan_category(user.fetch(str(tmp_path / "data"), "pushpins"), "pushpins", "loco")
    for sample in test.samples:
        marks = read_mask(test, sample)
        assert (0 if marks is None else int(marks.sum())) == (0 if sample.is_good else 18)


def test_masks_in_folders_of_their_images_are_no_surprise(
    user, tmp_path: Path, write, files
) -> None:
    write(tmp_path / "data", files["mvtec_loco"])
    folder = user.fetch(str(tmp_path / "data"), "pushpins")
    listing = list_files(folder)
    assert len([file for file in listing.files if file.part == "ground_truth"]) == 4
    assert not any("subfolders" in note for note in listing.notes)


def test_a_loco_mask_says_how_much_of_it_is_enough(user, tmp_path: Path, write, files) -> None:
    write(tmp_path / "data", files["mvtec_loco"])
    _, test = scan_category(user.fetch(str(tmp_path / "data"), "pushpins"), "pushpins", "loco")
    for sample in test.samples:
        shares = sorted(mask.saturation for mask in sample.masks)
        assert shares == ([] if sample.is_good else [pytest.approx(3 / 9), 0.5])
    other = [sample.model_copy(update={"mask_saturation": 0.1}) for sample in test.samples]
    assert test.model_copy(update={"samples": tuple(other)}).digest != test.digest
    test.write(tmp_path / "test.json")
    assert Manifest.read(tmp_path / "test.json") == test


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "001.png: marks with the value 254, which defects_config.json does not list"),
        ("{", "defects_config.json: not a list of defects as in MVTec LOCO AD: "),
        ('[{"pixel_value": 255}]', "0.saturation_threshold: Field required"),
        (
            '[{"pixel_value": 255, "saturation_threshold": 2, "relative_saturation": true}]',
            "0: a relative saturation_threshold is a share, at most 1",
        ),
    ],
)
def test_a_loco_file_that_says_too_little_is_refused(
    user, tmp_path: Path, write, files, text: str, message: str
) -> None:
    files["mvtec_loco"]["pushpins/defects_config.json"] = text.encode()
    write(tmp_path / "data", files["mvtec_loco"])
    folder = user.fetch(str(tmp_path / "data"), "pushpins")
    with pytest.raises(DataError, match=re.escape(message)):
        scan_category(folder, "pushpins", "loco")


def test_without_the_file_loco_is_read_as_before(user, tmp_path: Path, write, files) -> None:
    del files["mvtec_loco"]["pushpins/defects_config.json"]
    write(tmp_path / "data", files["mvtec_loco"])
    _, test = scan_category(user.fetch(str(tmp_path / "data"), "pushpins"), "pushpins", "loco")
    assert {mask.saturation for sample in test.samples for mask in sample.masks} == {None}


@pytest.mark.parametrize("name", PICTURES)
def test_archive(
    user, file_server, zipped, monkeypatch: pytest.MonkeyPatch, files, name: str
) -> None:
    data = zipped({f"top/{path}": data for path, data in files[name].items()})
    monkeypatch.setenv(f"GTRANS_{name.upper()}_URL", file_server.serve("all.zip", data))
    for _ in range(2):
        folder = user.fetch(name, PICTURES[name])
    _, test = scan_category(folder, PICTURES[name], name)
    assert test.counts() == EXPECTED[name]
    assert len(file_server.requests) == 1
    assert any("not for commercial use" in line for line in user.lines)


@pytest.mark.parametrize("source", [mvtec_ad_2, mvtec_loco])
def test_official_archive_is_pinned(source) -> None:
    (digest,) = source.PUBLICATION.pins.values()
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert source.PUBLICATION.url in source.PUBLICATION.pins


def test_a_plants_folder_is_not_mistaken(user, tmp_path: Path, write, official) -> None:
    """Folders that MVTec AD's layout does not know do not make it another one."""
    write(tmp_path / "data", official("bottle") | {"bottle/validation/good/x.png": b"x"})
    assert user.fetch(str(tmp_path / "data"), "bottle") == tmp_path / "data" / "bottle"
