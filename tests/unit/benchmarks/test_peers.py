"""The contract with the peers' environment, held by a stand-in for its interpreter."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from benchmarks.peers.contract import PEERS, UNAVAILABLE, PeerResult, Request, facts_path
from benchmarks.peers.peers import PeerError, export_weights, run_peer
from gtrans_core.config import USUAL_SIDE, AgnConfig
from gtrans_core.network.backbone import check_weights

REQUEST = Request(
    peer="padim",
    seed=3,
    train=("a.png",),
    test=("b.png", "c.png"),
    weights="weights.safetensors",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    output="scores.npz",
)
ANSWER = """\
import sys
from pathlib import Path
import numpy as np
from benchmarks.peers.contract import PeerResult, Request

assert sys.argv[1:3] == ["-m", "benchmarks.peers.run_peer"], sys.argv
request = Request.read(Path(sys.argv[3]))
count, size = len(request.test), request.image_size
maps = np.arange(count, dtype=np.float32)[:, None, None] * np.ones((1, size, size), np.float32)
PeerResult(maps, 2 * maps[:, 0, 0], {"seed": request.seed}).write(Path(request.output))
"""


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        Image.new("RGB", (16, 16)).save(path)
    return paths


@pytest.fixture
def stand_in(tmp_path: Path):
    """Writes an executable that runs some Python in place of the peers' interpreter."""

    def write(code: str) -> Path:
        script, python = tmp_path / "stand_in.py", tmp_path / "python"
        script.write_text(code)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
        python.chmod(0o755)
        return python

    return write


def test_a_request_survives_the_way(tmp_path: Path):
    REQUEST.write(tmp_path / "request.json")
    assert Request.read(tmp_path / "request.json") == REQUEST


def test_an_unknown_entry_is_refused(tmp_path: Path):
    REQUEST.write(tmp_path / "request.json")
    entries = json.loads((tmp_path / "request.json").read_text())
    (tmp_path / "request.json").write_text(json.dumps(entries | {"crop": 224}))
    with pytest.raises(TypeError, match="crop"):
        Request.read(tmp_path / "request.json")


def test_a_peer_gives_scores_in_the_order_of_the_images(tmp_path, images, stand_in):
    work = tmp_path / "work"
    result = run_peer("padim", images[:1], images, 7, work, python=stand_in(ANSWER))
    assert result.maps.shape == (3, USUAL_SIDE, USUAL_SIDE)
    assert result.scores.tolist() == [0, 2, 4]
    assert result.facts == {"seed": 7}


def test_a_peer_gets_what_gtrans_gets(tmp_path, images, stand_in):
    work = tmp_path / "work"
    run_peer("padim", images[:1], images[1:], 7, work, python=stand_in(ANSWER))
    request = Request.read(work / "request.json")
    assert request.train == (str(images[0]),)
    assert request.test == (str(images[1]), str(images[2]))
    assert (request.mean, request.std) == ((0.5,) * 3, (0.5,) * 3)  # timm's for this backbone
    assert (request.image_size, request.threads) == (USUAL_SIDE, 1)
    check_weights("tf_efficientnet_lite0", load_file(request.weights))


def test_the_exported_weights_are_the_packages(tmp_path: Path):
    state = load_file(export_weights(AgnConfig(), tmp_path / "weights.safetensors"))
    assert state["conv_stem.weight"].shape == (32, 3, 3, 3)
    assert state["classifier.weight"].shape == (1000, 1280)
    assert float(state["bn1.running_var"].std()) > 0  # trained, not initialised


def test_a_missing_environment_says_what_to_do(tmp_path, images):
    with pytest.raises(PeerError, match="python is missing: run make peers-setup"):
        run_peer("padim", images, images, 0, tmp_path, python=tmp_path / "python")


def test_an_unknown_peer_names_the_known(tmp_path, images):
    with pytest.raises(PeerError, match="no peer is called spade; known: padim, "):
        run_peer("spade", images, images, 0, tmp_path)


@pytest.mark.parametrize("name", UNAVAILABLE)
def test_a_peer_that_cannot_run_says_why(tmp_path, images, name):
    with pytest.raises(PeerError, match=f"{name}: (not available offline|design does not allow)"):
        run_peer(name, images, images, 0, tmp_path)


def test_no_peer_is_both(tmp_path):
    assert not PEERS.keys() & UNAVAILABLE.keys()


def test_a_failing_peer_is_told_in_one_line(tmp_path, images, stand_in):
    python = stand_in("print('epoch 1')\nraise MemoryError('too many patches')")
    with pytest.raises(PeerError) as caught:
        run_peer("patchcore", images, images, 0, tmp_path / "work", python=python)
    message = str(caught.value)
    assert message.startswith("peer patchcore failed (1): MemoryError: too many patches (see ")
    assert "\n" not in message
    assert "epoch 1" in (tmp_path / "work" / "log.txt").read_text()


def test_a_silent_failure_is_an_error_too(tmp_path, images, stand_in):
    with pytest.raises(PeerError, match=r"failed \(3\): it said nothing"):
        run_peer("padim", images, images, 0, tmp_path, python=stand_in("raise SystemExit(3)"))


def test_an_old_answer_does_not_pass_for_a_new_one(tmp_path, images, stand_in):
    run_peer("padim", images, images, 0, tmp_path, python=stand_in(ANSWER))
    with pytest.raises(PeerError, match="no usable answer"):
        run_peer("padim", images, images, 0, tmp_path, python=stand_in("pass"))


@pytest.mark.parametrize(
    ("maps", "scores", "message"),
    [
        (np.zeros((1, 8, 8), np.float32), np.zeros(2, np.float32), r"maps are float32 \(1, 8, 8\)"),
        (np.zeros((2, 8, 8), np.float64), np.zeros(2, np.float32), "maps are float64"),
        (np.zeros((2, 8, 8), np.float32), np.zeros((2, 1), np.float32), r"scores are .*\(2, 1\)"),
        (np.full((2, 8, 8), np.nan, np.float32), np.zeros(2, np.float32), "maps hold values"),
    ],
)
def test_an_unusable_answer_is_refused(tmp_path, maps, scores, message):
    PeerResult(maps, scores, {}).write(tmp_path / "scores.npz")
    with pytest.raises(ValueError, match=message):
        PeerResult.read(tmp_path / "scores.npz", images=2, size=8)


def test_a_pickle_in_an_answer_is_not_read(tmp_path: Path):
    objects = np.array([{}, {}], dtype=object)
    np.savez(tmp_path / "scores.npz", maps=objects, scores=objects)
    facts_path(tmp_path / "scores.npz").write_text("{}")
    with pytest.raises(ValueError, match="allow_pickle"):
        PeerResult.read(tmp_path / "scores.npz", images=2, size=8)
