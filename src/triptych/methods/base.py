"""What every method promises: a few labelled images and a query in, a logit per class out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from triptych.backbones import Backbone, build_backbone
from triptych.fusion import Fusion, Levels
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded, EncodedEpisode
from triptych.methods.projection import Projection, principal_components
from triptych.similarity import check_maps, class_members, pooled_vectors

__all__ = ["Matching", "Method", "Summary"]

Summary = dict[str, Any]  # level name -> what that level compares queries with, for one class


@dataclass(frozen=True)
class Matching:
    """How a level matches each row of a photo with its nearest of a class's photos: what evidence can name.

    Attributes:
        unit: what a row is: "patch", a position of the map, or "channel".
        rows: one encoded photo -> (R, D), in the order of positions or channels.
        pool: what the level keeps of a class -> (J, D), the rows of one photo after the other.
        k: how many of the nearest count.
        weights: one encoded photo -> (R,), what the level has multiplied the rows with; by default one.
        positions: what the level keeps of a class -> (J,), which row of its photo each member of the pool is; by
            default all rows are in the pool, in their order.
    """

    unit: str
    rows: Callable[[Encoded], Tensor]
    pool: Callable[[Any], Tensor]
    k: int
    weights: Callable[[Encoded], Tensor] | None = None
    positions: Callable[[Any], Tensor] | None = None


class Method(nn.Module, ABC):
    """A backbone, a comparison at one or more levels, and a fusion.

    A method works in steps, which callers may take one by one to reuse what does not change: ``encode`` images,
    ``summarise`` each class, ``adapt`` the classes to each other, ``compare`` queries with them, ``fuse`` the levels.
    All its parameters are trained. See ``docs/adding-a-method.md``.

    Attributes:
        name: what method files and the registry call the class.
        config_type: the class of its configuration.
        separable: the summary of a class, and the scores with it, depend on no other class.
        transductive: the scores of a query depend on the other queries.

    Args:
        config: its settings.
        fusion: of its levels.
        backbone: the backbone of ``config``, to share one that is there; by default a freshly initialised one.

    >>> import torch
    >>> from triptych.methods import build_method
    >>> method = build_method("mml-conv64f").eval()
    >>> encoded = method.encode(torch.randn(5, 3, 84, 84))
    >>> classes = [method.summarise(encoded[:2]), method.summarise(encoded[2:4])]
    >>> method.fuse(method.compare(encoded[4:], method.adapt(classes))).shape
    torch.Size([1, 2])
    """

    name: ClassVar[str]
    config_type: ClassVar[type[MethodConfig]]
    separable: bool = True
    transductive: ClassVar[bool] = False

    def __init__(self, config: MethodConfig, fusion: Fusion, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone or build_backbone(config.backbone, config.architecture)
        if config.components is not None and config.components > self.backbone.channels:
            raise ValueError(
                f"{config.components} components of {self.backbone.channels} channels; expected no more than channels"
            )
        self.projection = Projection(self.backbone.channels, config.components) if config.components else None
        self.fusion = fusion
        self.preprocess = config.preprocessing

    @property
    @abstractmethod
    def level_names(self) -> tuple[str, ...]:
        """The names of the levels, one or more, in the order of all tables."""

    @property
    def absolute_levels(self) -> tuple[str, ...]:
        """Levels whose similarity with a class means the same whatever the other classes show; they tell unknowns."""
        return ()

    @abstractmethod
    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        """What the levels compare queries with, of one class: V ``views`` of each of its K images, K * V in all."""

    @abstractmethod
    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        """Similarities of queries with summarised, adapted classes, per level; larger is more similar."""

    @property
    def channels(self) -> int:
        """C of the feature maps."""
        return self.config.components or self.backbone.channels

    def encode(self, images: Float[Tensor, "B 3 h w"]) -> Encoded:
        """What ``summarise`` and ``compare`` need of images."""
        return self.encode_features(self.backbone.taps(self.crops(images)))

    def crops(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "_ 3 h w"]:
        """What the backbone sees of images: by default the images; else P crops of the first, then of the next."""
        return images

    def encode_features(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Encoded:
        """``encode``, from the backbone's maps of ``crops``, of several layers; the last is the feature map."""
        maps = taps[-1] if self.projection is None else self.projection(taps[-1])
        return Encoded({"maps": maps})

    def keep(self, encoded: Encoded) -> Encoded:
        """What a recogniser keeps of encoded images, in memory and in its file; by default half precision.

        Raises:
            ValueError: a number is not finite, or above what is kept of it.
        """
        return encoded.to_keep()

    def keep_compared(self, encoded: Encoded) -> Encoded:
        """What a bank keeps of encoded images: where ``restore`` takes long, what is compared, as it is compared.

        ``restore`` takes this too. By default it is what ``keep`` keeps.

        Raises:
            ValueError: as ``keep``.
        """
        return self.keep(encoded)

    def restore(self, kept: Encoded) -> Encoded:
        """What ``summarise`` and ``compare`` need, from what is kept of images; one image at a time, or all, alike."""
        return kept.float()

    def adapt(self, classes: Sequence[Summary]) -> Sequence[Summary]:
        """The classes, adapted to each other; by default as they are."""
        return classes

    def common(self, classes: Sequence[Summary]) -> dict[str, Tensor]:
        """What ``adapt`` takes of all classes together, where a sample of them can tell it; by default nothing."""
        return {}

    def adapt_by(self, classes: Sequence[Summary], common: Mapping[str, Tensor]) -> Sequence[Summary]:
        """``adapt`` of a few of many classes, by what is ``common`` to all; by default they are adapted to each other.

        With what is common to the same classes, it is ``adapt``.
        """
        return self.adapt(classes)

    def pooled(self, encoded: Encoded) -> Float[Tensor, "B D"]:
        """A vector of each image, by which few of many classes are chosen; by default the mean descriptor."""
        return pooled_vectors(encoded.maps)

    def left_out(
        self, classes: Sequence[Summary], asked: Sequence[tuple[int, int]], photos: Iterable[Encoded], views: int
    ) -> Iterator[dict[str, Float[Tensor, " N"]]] | None:
        """The similarities of photos left out, one after the other; None if only ``adapt`` can tell, for each anew.

        Each photo is taken out of its class, and the last photo out of every other class.

        Args:
            classes: summarised, not adapted.
            asked: class and photo of each; a photo beyond those of its class's summary was not learnt from.
            photos: each of them, restored.
            views: V of each photo.
        """
        return None

    def without_patches(self, query: Encoded, classes: Sequence[Summary]) -> Callable[[Tensor], Levels] | None:
        """The levels of one photo, by how much of each of its M patches is kept: shares (P, M) -> level -> (P, N).

        Nothing passes the network again. By default None: evidence then names patches by what they match alone.
        """
        return None

    def fuse(self, levels: Levels) -> Float[Tensor, "Q N"]:
        """Logits."""
        return self.fusion(levels)

    def loss(self, levels: Levels, truth: Int64[Tensor, " Q"], level_loss: float = 0.0) -> Tensor:
        """Cross-entropy of the fused logits plus ``level_loss`` times that of each level that has logits of its own."""
        loss = functional.cross_entropy(self.fuse(levels), truth)
        for own in self.fusion.calibrated(levels).values():
            loss = loss + level_loss * functional.cross_entropy(own, truth)
        return loss

    def training_head(self, classes: int) -> nn.Module | None:
        """What is trained beside the method and is in no file of it, such as a classifier of the training classes."""
        return None

    def auxiliary_loss(self, episode: EncodedEpisode, head: nn.Module | None) -> Tensor | None:
        """What training adds to ``loss``, of the photos themselves; by default nothing.

        Args:
            episode: encoded in training mode.
            head: what ``training_head`` gave.
        """
        return None

    def learns_closed_form(self, classes: int) -> bool:
        """Whether it learns something in closed form from so many training classes; by default it does not."""
        return False

    def learn_closed_form(self, classes: Iterable[Float[Tensor, "_ 3 h w"]]) -> "Method":
        """The method with what it learns in closed form from the images of each class of training."""
        raise NotImplementedError(f"{type(self).__name__} learns nothing in closed form")

    def pair_work(self, encoded: Encoded) -> int:
        """About how many multiplications the comparison of two images takes; bounds what a recogniser leaves out."""
        channels, positions = encoded.maps.shape[1], encoded.maps[0, 0].numel()
        return channels * positions * (channels + positions)

    def check(self) -> None:
        """Refuse weights that cannot give answers: of a damaged file, or of training that has diverged.

        Raises:
            ValueError: a weight is not a finite number, or a check of the method's own fails.
        """
        if not all(bool(value.isfinite().all()) for value in self.state_dict().values()):
            raise ValueError("some weights are not finite numbers")

    def matchings(self) -> Mapping[str, Matching]:
        """level -> how it matches patches or channels, for levels that do; evidence draws them."""
        return {}

    def compare_encoded(
        self, query: Encoded, support: Encoded, labels: Int64[Tensor, " S"], views: int = 1
    ) -> dict[str, Float[Tensor, "Q N"]]:
        """Similarities of encoded queries with the classes of a labelled support, per level."""
        classes = [self.summarise(support[mine], views) for mine in class_members(labels, len(support))]
        return self.compare(query, self.adapt(classes))

    def levels(
        self, query: Float[Tensor, "Q 3 h w"], support: Float[Tensor, "S 3 h w"], labels: Int64[Tensor, " S"]
    ) -> dict[str, Float[Tensor, "Q N"]]:
        """Similarities of query images with each class at each level, before fusion.

        Args:
            query: (Q, 3, h, w) preprocessed images.
            support: (S, 3, h, w) preprocessed images.
            labels: (S,) the class of each support image, 0..N-1; classes may differ in shots.

        Returns:
            level name -> (Q, N), larger is more similar.
        """
        check_maps(query, support, "images (B, 3, h, w)", channels=3)
        return self.compare_encoded(self.encode(query), self.encode(support), labels)

    def forward(
        self, query: Float[Tensor, "Q 3 h w"], support: Float[Tensor, "S 3 h w"], labels: Int64[Tensor, " S"]
    ) -> Float[Tensor, "Q N"]:
        """Logits of query images for each class; the arguments are those of ``levels``."""
        return self.fuse(self.levels(query, support, labels))

    @torch.no_grad()
    def reduced(self, encoded: Encoded, components: int) -> "Method":
        """This method over the principal components of the descriptors of these images; its fusion is untrained.

        The backbone is shared.

        Raises:
            ValueError: more components than channels or descriptors, the method is already reduced, or it has layers
                that were trained on all channels.
        """
        if self.projection is not None:
            raise ValueError(f"the method already reduces descriptors to {self.config.components} components")
        mean, axes = principal_components(encoded.maps, components)
        method = type(self)(self.reduced_config(components), backbone=self.backbone)  # type: ignore[call-arg]
        assert method.projection is not None
        method.projection.mean.copy_(mean)
        method.projection.axes.copy_(axes)
        trained = dict(self.named_parameters())
        for key, value in method.named_parameters():
            if key.startswith(("backbone.", "fusion.")):
                continue
            if value.shape != trained[key].shape:
                raise ValueError(f"{key} of {self.name} was trained on all channels; leave out components")
            value.copy_(trained[key])
        return method.train(self.training).to(encoded.device)

    def reduced_config(self, components: int) -> MethodConfig:
        """The configuration of the method over so many principal components."""
        return replace(self.config, components=components)
