"""How each anomalib model is built and trained, as published, on the weights of the request.

Every recipe takes the normalised training images [N, 3, S, S] and returns the trained model. PaDiM
and STFPM take strides 4, 8 and 16 as published, PaDiM also those that GTrans taps (8, 16 and 32);
PatchCore leaves out the finest of its backbone's three, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from anomalib.models.components import KCenterGreedy, TimmFeatureExtractor
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from anomalib.models.image.stfpm.loss import STFPMLoss
from anomalib.models.image.stfpm.torch_model import STFPMModel
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.peers.contract import Request

BACKBONE = "tf_efficientnet_lite0"
STRIDE_4, STRIDE_8, STRIDE_16, STRIDE_32 = "blocks.1", "blocks.2", "blocks.4", "blocks.6"
BATCH = 32
"""anomalib's default; PaDiM and PatchCore do not depend on it."""
STFPM_EPOCHS = 100
"""anomalib's default and the paper's: half an hour of one core for 200 images."""


@dataclass(frozen=True)
class Trained:
    """A model ready to score, and what it took to make it."""

    model: nn.Module
    """Returns ``anomaly_map`` and ``pred_score`` in eval mode."""
    hyper_parameters: dict[str, Any]
    parameters_trained: int = 0
    """By gradient descent."""
    numbers_stored: int = 0
    """Statistics or patches that the model keeps of the training images."""


def padim(
    request: Request,
    images: Tensor,
    n_features: int = 100,
    layers: tuple[str, ...] = (STRIDE_4, STRIDE_8, STRIDE_16),
) -> Trained:
    """A Gaussian for each place of the finest layer's grid.

    The paper has no count of channels for this backbone: ResNet-18's 100 (of 448) stands in.
    """
    model = PadimModel(BACKBONE, list(layers), pre_trained=False, n_features=n_features)
    load_weights(model.feature_extractor, request.weights)
    show(model, images)
    model.fit()
    return Trained(
        model,
        {"layers": layers, "n_features": n_features},
        numbers_stored=model.gaussian.mean.numel() + model.gaussian.inv_covariance.numel(),
    )


def padim_deep(request: Request, images: Tensor) -> Trained:
    """PaDiM on the maps that GTrans taps."""
    return padim(request, images, layers=(STRIDE_8, STRIDE_16, STRIDE_32))


def padim_all(request: Request, images: Tensor) -> Trained:
    """PaDiM without its random choice of channels."""
    return padim(request, images, n_features=176)


def patchcore(request: Request, images: Tensor, ratio: float = 0.1) -> Trained:
    """A memory of patches, thinned greedily to anomalib's default of a tenth."""
    layers = [STRIDE_8, STRIDE_16]
    neighbours = 9
    model = PatchcoreModel(layers, BACKBONE, pre_trained=False, num_neighbors=neighbours)
    load_weights(model.feature_extractor, request.weights)
    show(model, images)
    with patch(f"{PatchcoreModel.__module__}.KCenterGreedy", QuickKCenterGreedy):
        model.subsample_embedding(ratio)
    return Trained(
        model,
        {
            "layers": layers,
            "coreset_sampling_ratio": ratio,
            "num_neighbors": neighbours,
            "coreset": "k-centre greedy, distances by matrix product",
        },
        numbers_stored=model.memory_bank.numel(),
    )


def patchcore_1(request: Request, images: Tensor) -> Trained:
    """PatchCore with a coreset of 1 %, the smallest in its paper."""
    return patchcore(request, images, ratio=0.01)


class QuickKCenterGreedy(KCenterGreedy):  # type: ignore[misc] # anomalib says no types
    """anomalib's greedy choice in a seventh of its time, which for a tenth would be hours.

    Squared distances to a new centre come from one matrix-vector product; their order, all that
    the choice depends on, is that of the distances.
    """

    features: Tensor
    squared_norms: Tensor
    min_distances: Tensor | None

    def update_distances(self, cluster_center: Tensor) -> None:
        """Lower each patch's distance to its nearest centre by the new one's."""
        known = self.min_distances
        if known is None:
            self.squared_norms = self.features.square().sum(dim=1)
        centre = self.features[cluster_center].squeeze()
        squared = self.squared_norms - 2 * self.features @ centre + centre.square().sum()
        squared = squared.clamp_min(0)[:, None]
        self.min_distances = squared if known is None else torch.minimum(known, squared)


def stfpm(request: Request, images: Tensor, epochs: int = 20) -> Trained:
    """A student of the teacher's shape, trained by SGD to match three of its maps.

    As published but for the number of epochs, which keeps it within six minutes of one core.
    The last epoch is kept: anomalib's example stops early on the pixel AUROC of the test images.
    """
    layers = [STRIDE_4, STRIDE_8, STRIDE_16]
    rate, momentum, decay = 0.4, 0.9, 0.001
    with no_download(STFPMModel):
        model = STFPMModel(layers, BACKBONE)
    load_weights(model.teacher_model, request.weights)
    student = model.student_model
    trim(student.feature_extractor)
    model.to(memory_format=torch.channels_last)  # a third less time on a CPU
    optimiser = torch.optim.SGD(student.parameters(), rate, momentum, weight_decay=decay)
    loss = STFPMLoss()
    taught = teach(model.teacher_model, images)
    model.train()
    for _ in range(epochs):
        for chosen in batches(torch.randperm(len(images))):
            optimiser.zero_grad()
            targets = {layer: maps[chosen] for layer, maps in taught.items()}
            loss(targets, student(images[chosen])).backward()
            optimiser.step()
    return Trained(
        model,
        {
            "layers": layers,
            "epochs": epochs,
            "published_epochs": STFPM_EPOCHS,
            "batch_size": BATCH,
            "optimiser": "SGD",
            "learning_rate": rate,
            "momentum": momentum,
            "weight_decay": decay,
        },
        parameters_trained=sum(p.numel() for p in student.parameters()),
    )


def stfpm_100(request: Request, images: Tensor) -> Trained:
    """STFPM for as long as published."""
    return stfpm(request, images, STFPM_EPOCHS)


def teach(teacher: TimmFeatureExtractor, images: Tensor) -> dict[str, Tensor]:
    """What a frozen teacher says, once: without augmentation it is the same in every epoch."""
    said = [teacher(batch) for batch in batches(images)]
    return {layer: torch.cat([maps[layer] for maps in said]) for layer in said[0]}


@contextmanager
def no_download(model: type[nn.Module]) -> Iterator[None]:
    """Let a model that always asks a hub for weights build its extractors without any."""

    def extractor(**options: Any) -> TimmFeatureExtractor:
        return TimmFeatureExtractor(**{**options, "pre_trained": False})

    with patch(f"{model.__module__}.TimmFeatureExtractor", extractor):
        yield


@torch.no_grad()
def show(model: nn.Module, images: Tensor) -> None:
    """Show all training images to a model that only collects features."""
    model.train()
    for batch in batches(images):
        model(batch)


def batches(rows: Tensor) -> Iterator[Tensor]:
    """Consecutive rows, the last batch may be smaller."""
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def load_weights(extractor: TimmFeatureExtractor, path: str) -> None:
    """Put the request's weights into a feature extractor, and drop the stages it does not use."""
    backbone = extractor.feature_extractor
    state = load_file(path)
    backbone.load_state_dict({key: state[key] for key in backbone.state_dict()})
    trim(backbone)


def trim(backbone: Any) -> None:
    """Drop the stages behind the last tap, which timm would run for nothing (GTrans does, too)."""
    backbone.blocks = backbone.blocks[: max(backbone._stage_out_idx)]


RECIPES: dict[str, Callable[[Request, Tensor], Trained]] = {
    "padim": padim,
    "padim_deep": padim_deep,
    "padim_all": padim_all,
    "patchcore": patchcore,
    "patchcore_1": patchcore_1,
    "stfpm": stfpm,
    "stfpm_100": stfpm_100,
}
