"""The packaged detector: what comes back is what was saved, or it is refused by the file's name."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from gtrans_core.detector.detector import Detector, Prediction, Verdict
from gtrans_core.detector.files import (
    INFO_NAME,
    WEIGHT_NAMES,
    detector_digest,
    read_info,
)
from gtrans_core.errors import DataError, ModelError, StorageError
from gtrans_core.storage.sealed import unsealed
from tests.support.detectors import make_detector


def facts_of(folder: Path) -> dict:
    """What ``detector.json`` says, to be changed."""
    return json.loads(unsealed((folder / INFO_NAME).read_bytes()))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Tiny networks lose time with more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def detector(tiny_config) -> Detector:
    return make_detector(tiny_config(), threshold=0.25, held_out_scores=(0.1, 0.2, 0.25))


@pytest.fixture(scope="module")
def images(make_photos, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder, 5)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def alone(detector: Detector, images: list[bytes]) -> list[Prediction]:
    """Each image's prediction when it comes alone."""
    return [detector.predict_bytes([data])[0] for data in images]


@pytest.fixture
def folder(detector: Detector, tmp_path: Path) -> Path:
    detector.save(tmp_path / "detector")
    return tmp_path / "detector"


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        Detector.load(folder)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


class TestRoundTrip:
    @pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet", "test_convnext"])
    def test_scores_and_maps_are_equal(
        self, tiny_config, tmp_path: Path, images: list[bytes], backbone: str
    ) -> None:
        """To the last bit; statistics that training has moved included."""
        saved = make_detector(tiny_config(f"agn.backbone={backbone}"))
        views = torch.stack([torch.from_numpy(saved.view(data, "image")) for data in images])
        inputs = saved.scorer.agn.spec.normalise(views)
        saved.scorer.trans.train()(inputs, saved.scorer.agn(inputs))
        saved.scorer.eval()
        saved.save(tmp_path / "d")
        loaded = Detector.load(tmp_path / "d")
        pairs = zip(saved.predict_bytes(images), loaded.predict_bytes(images), strict=True)
        for before, after in pairs:
            assert after.score == before.score
            assert np.array_equal(after.heat_map, before.heat_map)

    def test_one_of_before_the_student_had_a_knob_scores_as_it_did(
        self, tiny_config, tmp_path: Path, images: list[bytes]
    ) -> None:
        """It says nothing of ``trans.backbone``: its student has the AGN's shape."""
        detector, folder = make_detector(tiny_config("trans.backbone=agn")), tmp_path / "d"
        detector.save(folder)
        facts = facts_of(folder)
        assert facts["config"]["trans"].pop("backbone") == "agn"
        (folder / INFO_NAME).write_text(json.dumps(facts))
        loaded = Detector.load(folder)
        assert loaded.info.config == detector.info.config
        assert [p.score for p in loaded.predict_bytes(images)] == [
            p.score for p in detector.predict_bytes(images)
        ]

    def test_facts(self, detector: Detector, folder: Path) -> None:
        loaded = Detector.load(folder).info
        assert loaded.model_copy(update={"files": {}}) == detector.info
        assert loaded == read_info(folder)
        assert loaded.files.keys() == set(WEIGHT_NAMES)

    def test_save_again_is_byte_equal(self, folder: Path, tmp_path: Path) -> None:
        Detector.load(folder).save(tmp_path / "again")
        for path in folder.iterdir():
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
        assert detector_digest(folder) == detector_digest(tmp_path / "again")

    def test_loaded_detector_is_in_eval_mode_and_without_gradients(self, folder: Path) -> None:
        scorer = Detector.load(folder).scorer
        assert not any(module.training for module in scorer.modules())
        assert not any(p.requires_grad for p in scorer.agn.parameters())

    def test_the_guide_is_trimmed_and_complete(self, detector: Detector, folder: Path) -> None:
        state = load_file(folder / "agn.safetensors")
        for name, tensor in detector.scorer.agn.backbone.state_dict().items():
            assert torch.equal(state.pop(name), tensor)
        assert state == {}


class TestPredictions:
    @given(order=st.permutations(range(5)), count=st.integers(1, 5))
    @settings(max_examples=15, deadline=None)
    def test_an_image_has_one_score_whatever_comes_with_it(
        self,
        detector: Detector,
        images: list[bytes],
        alone: list[Prediction],
        order: list[int],
        count: int,
    ) -> None:
        """Any batch, any order, any number of times: equal to the last bit."""
        assert len({prediction.score for prediction in alone}) == 5
        batch = order[:count] + order[:1]
        for number, together in zip(
            batch, detector.predict_bytes([images[n] for n in batch]), strict=True
        ):
            assert together.score == alone[number].score
            assert np.array_equal(together.heat_map, alone[number].heat_map)

    def test_heat_map(self, detector: Detector, images: list[bytes]) -> None:
        (prediction,) = detector.predict_bytes(images[:1])
        assert prediction.heat_map.shape == (64, 64)
        assert prediction.heat_map.dtype == np.float32
        assert prediction.heat_map.min() >= 0
        assert isinstance(prediction.score, float)

    def test_anomalous_is_strictly_greater(self, detector: Detector, images: list[bytes]) -> None:
        """A threshold that is a held-out score does not flag that very image."""
        (score,) = (p.score for p in detector.predict_bytes(images[:1]))
        for threshold, verdict in (
            (score, False),
            (np.nextafter(score, 0), True),
            (np.nextafter(score, np.inf), False),
        ):
            info = detector.info.model_copy(update={"threshold": float(threshold)})
            (prediction,) = Detector(detector.scorer, info).predict_bytes(images[:1])
            assert prediction.is_anomalous is verdict

    def test_a_verdict_alone_is_that_of_the_prediction(
        self, detector: Detector, images: list[bytes], alone: list[Prediction]
    ) -> None:
        for data, expected in zip(images, alone, strict=True):
            found = detector.judge_view(detector.view(data, "image"))
            assert found == Verdict(expected.score, expected.is_anomalous)

    def test_the_drawing_range_has_the_threshold_in_its_middle(self, detector: Detector) -> None:
        assert detector.map_range == (0.0, 0.5)

    def test_no_images_no_predictions(self, detector: Detector) -> None:
        assert detector.predict_bytes([]) == []

    @pytest.mark.parametrize(("trans_maps", "what"), [(0, "the score is nan"), (1, "heat map")])
    def test_what_is_no_number_does_not_pass_as_good(
        self, tiny_config, images: list[bytes], trans_maps: int, what: str
    ) -> None:
        broken = make_detector(tiny_config(f"scoring.trans_maps={trans_maps}"))
        broken.scorer.trans.encoder.query.weight.data.fill_(torch.nan)
        with pytest.raises(ModelError, match=what):
            broken.predict_bytes(images[:1])

    def test_an_image_that_cannot_be_decoded_is_named(
        self, detector: Detector, images: list[bytes]
    ) -> None:
        with pytest.raises(DataError, match=r"^image 2: "):
            detector.predict_bytes([images[0], images[1][:500], images[2]])

    def test_preprocessing_is_the_configs(self, tiny_config, images: list[bytes]) -> None:
        detector = make_detector(tiny_config("image.size=80", "image.crop=48"))
        view = detector.view(images[0], "image")
        image = Image.open(io.BytesIO(images[0])).convert("RGB")
        expected = np.asarray(image.resize((80, 80), Image.Resampling.BILINEAR))[16:64, 16:64]
        assert np.array_equal(view, expected.transpose(2, 0, 1))
        assert detector.predict_bytes(images[:1])[0].heat_map.shape == (48, 48)


class TestRefusal:
    """Faults 19 and 20: nothing that is not as it was saved is loaded, and the file is named."""

    @pytest.mark.parametrize("name", WEIGHT_NAMES)
    @given(position=st.integers(0, 10**7))
    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_one_flipped_bit(self, folder: Path, name: str, position: int) -> None:
        path = folder / name
        original = path.read_bytes()
        data = bytearray(original)
        data[position // 8 % len(data)] ^= 1 << position % 8
        path.write_bytes(bytes(data))
        refused(folder, str(path), "its sha256 is not the one in detector.json")
        path.write_bytes(original)

    @pytest.mark.parametrize("name", [*WEIGHT_NAMES, INFO_NAME])
    def test_missing_file(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        refused(folder, str(folder / name), "cannot be read")

    @pytest.mark.parametrize("name", [*WEIGHT_NAMES, INFO_NAME])
    def test_empty_file(self, folder: Path, name: str) -> None:
        (folder / name).write_bytes(b"")
        refused(folder, str(folder / name))

    @pytest.mark.parametrize("name", WEIGHT_NAMES)
    def test_weights_of_another_category(
        self, folder: Path, tiny_config, tmp_path: Path, name: str
    ) -> None:
        other = make_detector(tiny_config("seed=1", "agn.weights=random:1"), category="other")
        other.save(tmp_path / "other")
        shutil.copy(tmp_path / "other" / name, folder / name)
        refused(folder, str(folder / name))

    def test_facts_of_another_category(self, folder: Path, tiny_config, tmp_path: Path) -> None:
        """Then the weights are foreign; the first one is named."""
        other = make_detector(tiny_config("seed=1", "agn.weights=random:1"), category="other")
        other.save(tmp_path / "other")
        shutil.copy(tmp_path / "other" / INFO_NAME, folder / INFO_NAME)
        refused(folder, "agn.safetensors")

    @pytest.mark.parametrize(
        "name", ["model.pkl", "notes.txt", "sub/trans.safetensors", ".hidden", "MLmodel"]
    )
    def test_extra_file(self, folder: Path, name: str) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
        refused(folder, str(folder / name.split("/")[0]), "does not belong to a detector; refused")

    @pytest.mark.parametrize("name", WEIGHT_NAMES)
    def test_weights_that_do_not_fit_the_config(self, folder: Path, name: str) -> None:
        """Even when the facts were edited along with them."""
        state = load_file(folder / name)
        state["extra"] = torch.zeros(1)
        save_file(state, folder / name)
        self.accept(folder, name)
        refused(folder, str(folder / name), "does not fit its config")

    @pytest.mark.parametrize("name", WEIGHT_NAMES)
    def test_weights_that_are_no_safetensors(self, folder: Path, name: str) -> None:
        torch.save({"x": torch.zeros(1)}, folder / name)
        self.accept(folder, name)
        refused(folder, str(folder / name), "not a safetensors file")

    @staticmethod
    def accept(folder: Path, name: str) -> None:
        """Write a file's digest into the facts, as a forger would."""
        from gtrans_core.storage import sha256_file

        facts = facts_of(folder)
        facts["files"][name] = sha256_file(folder / name)
        (folder / INFO_NAME).write_text(json.dumps(facts))

    @pytest.mark.parametrize(
        "change",
        [
            {"schema_version": 2},
            {"threshold": "high"},
            {"loader": "os.system"},
            {"config": {"a": 1}},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_facts_that_are_none(self, folder: Path, change: dict[str, object]) -> None:
        facts = facts_of(folder) | change
        (folder / INFO_NAME).write_text(json.dumps(facts))
        refused(folder, str(folder / INFO_NAME), next(iter(change)))

    def test_a_backbone_that_does_not_exist(self, folder: Path) -> None:
        facts = facts_of(folder)
        facts["config"]["agn"]["backbone"] = "no_such_network"
        (folder / INFO_NAME).write_text(json.dumps(facts))
        refused(folder, str(folder / INFO_NAME), "no_such_network")

    def test_facts_without_digests(self, folder: Path) -> None:
        facts = facts_of(folder) | {"files": {}}
        (folder / INFO_NAME).write_text(json.dumps(facts))
        refused(folder, "agn.safetensors")

    def test_nothing_there(self, tmp_path: Path) -> None:
        refused(tmp_path / "none", str(tmp_path / "none" / INFO_NAME))
        with pytest.raises(ModelError, match=INFO_NAME):
            detector_digest(tmp_path / "none")

    def test_interrupted_save_is_no_detector(
        self, detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The facts are written last."""
        import gtrans_core.detector.detector

        write = gtrans_core.detector.detector.write_atomic

        def stop_at_facts(path: Path, data: bytes) -> None:
            if path.name == INFO_NAME:
                raise StorageError("full")
            write(path, data)

        monkeypatch.setattr(gtrans_core.detector.detector, "write_atomic", stop_at_facts)
        with pytest.raises(StorageError):
            detector.save(tmp_path / "d")
        assert {path.name for path in (tmp_path / "d").iterdir()} == set(WEIGHT_NAMES)
        refused(tmp_path / "d", INFO_NAME)


class TestNoPickle:
    def test_no_file_is_a_pickle(self, folder: Path) -> None:
        """No zip, no pickle protocol byte: safetensors files and JSON."""
        assert {path.name for path in folder.iterdir()} == {*WEIGHT_NAMES, INFO_NAME}
        for path in folder.iterdir():
            data = path.read_bytes()
            assert data[:2] not in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")
        assert json.loads((folder / INFO_NAME).read_text())["category"] == "part"

    def test_loads_where_unpickling_is_forbidden(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load"):
            monkeypatch.setattr(name, lambda *_, **__: pytest.fail("unpickled"))
        assert Detector.load(folder).info.category == "part"
