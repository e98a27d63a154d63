"""Scores with anomalib's models on request: reads a peer's name a line, answers CPU seconds.

Runs in ``.venv-peers``. Each model is built as anomalib builds it by default, with random weights:
the published ones come by download only, and the time of a forward pass depends on shapes alone.
"""

from __future__ import annotations

import os
import sys
import time

import torch
from torch import nn

from benchmarks.peers.recipes import no_download

SIZE = 256
TRAINING_IMAGES = 160
"""What the size of PatchCore's memory follows from."""


def stfpm() -> nn.Module:
    """STFPM, ResNet-18."""
    from anomalib.models.image.stfpm.torch_model import STFPMModel

    with no_download(STFPMModel):
        model: nn.Module = STFPMModel(["layer1", "layer2", "layer3"], "resnet18")
    return model


def padim() -> nn.Module:
    """PaDiM, ResNet-18, 100 channels."""
    from anomalib.models.image.padim.torch_model import PadimModel

    channels = 100
    model: nn.Module = PadimModel("resnet18", pre_trained=False, n_features=channels)
    places = (SIZE // 4) ** 2
    gaussian = model.get_submodule("gaussian")
    gaussian.mean = torch.randn(channels, places)
    gaussian.inv_covariance = torch.randn(places, channels, channels)
    return model


def patchcore() -> nn.Module:
    """PatchCore, Wide ResNet-50-2, a coreset of a tenth."""
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    model: nn.Module = PatchcoreModel(["layer2", "layer3"], pre_trained=False)
    model.memory_bank = torch.randn(TRAINING_IMAGES * (SIZE // 8) ** 2 // 10, 512 + 1024)
    return model


def efficient_ad() -> nn.Module:
    """EfficientAD-S."""
    from anomalib.models.image.efficient_ad.torch_model import EfficientAdModel

    model: nn.Module = EfficientAdModel(teacher_out_channels=384)
    return model


PEERS = {f.__name__: f for f in (stfpm, padim, patchcore, efficient_ad)}


@torch.inference_mode()
def main() -> None:
    """Answer until there is no more input."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    image = torch.rand(1, 3, SIZE, SIZE)
    models: dict[str, nn.Module] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in models:
            models[name] = PEERS[name]().eval()
        started = time.process_time()
        models[name](image)
        sys.stdout.write(f"{time.process_time() - started}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
