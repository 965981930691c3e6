"""Discriminant analysis of vectors in blocks, about the mean of all photos: of all classes, and without one photo."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from triptych.similarity import LDA, fit_lda, lda_to_classes, left_out_lda, without_autocast

__all__ = ["Within", "class_scores", "discriminated", "left_out_scores"]

_REFITTED = 200  # vectors of the support up to which the analysis is made anew for each photo left out

_NO_VARIANCE = 1e-12  # of vectors of unit length


class Within(NamedTuple):
    r"""What an analysis takes of all classes together, which a sample of them can tell.

    The inverse of the covariance within classes is :math:`(I - U^T U) / \rho`: few directions vary, and
    all others have the variance of the ridge alone. So few of many classes are discriminated in little time.

    Attributes:
        centres: (D_b,) of each block.
        varying: (R, D) U in single precision: the directions along which photos of a class vary, times
            :math:`\sqrt{v / (v + \rho)}` of the variance v.
        ridge: :math:`\rho`.
    """

    centres: list[Tensor]
    varying: Float[Tensor, "R D"]
    ridge: float

    @classmethod
    def of(cls, classes: Sequence[list[Tensor]], ridge: float) -> "Within":
        """Of classes as in ``discriminated``."""
        centres = _centres(classes)
        vectors = [_joined(own, centres).double() for own in classes]
        deviations = (
            torch.cat([own - own.mean(0) for own in vectors]) / max(sum(map(len, vectors)) - len(vectors), 1) ** 0.5
        )
        few = len(deviations) < deviations.shape[1]
        variances, directions = torch.linalg.eigh(deviations @ deviations.T if few else deviations.T @ deviations)
        chosen = variances > _NO_VARIANCE
        variances, directions = variances[chosen], directions[:, chosen].T
        if few:
            directions = directions @ deviations / variances.sqrt()[:, None]
        return cls(centres, ((variances / (variances + ridge)).sqrt()[:, None] * directions).float(), ridge)

    @without_autocast
    def discriminate(self, means: Float[Tensor, "N D"]) -> LDA:
        """``fit_lda`` from these means of classes, in single precision."""
        directions = (means - means @ self.varying.T @ self.varying) / self.ridge
        return LDA(directions.double(), (directions * means).sum(1).double() / 2)

    def tensors(self) -> dict[str, Tensor]:
        """As it is stored."""
        blocks = {f"centre{number}": centre for number, centre in enumerate(self.centres)}
        return {**blocks, "varying": self.varying, "ridge": torch.tensor(self.ridge, dtype=torch.float64)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Within":
        """What ``tensors`` gave."""
        centres = [tensors[f"centre{number}"] for number in range(sum("centre" in name for name in tensors))]
        return cls(centres, tensors["varying"], float(tensors["ridge"]))


def discriminated(
    classes: Sequence[list[Tensor]],
    ridge: float,
    shrinkage: Float[Tensor, " N"] | None = None,
    within: Within | None = None,
) -> tuple[list[Tensor], LDA]:
    """The centres (D_b,) of the blocks of all classes, and LDA of all classes about them.

    Args:
        classes: the blocks of each class, each (K, D_b). Less its centre a block is scaled to unit length.
        ridge: see ``fit_lda``.
        shrinkage: (N,) see ``fit_lda``.
        within: the centres and the covariance, where these classes are some of many; by default their own.
    """
    if within is not None:
        joined = _joined([torch.cat(block) for block in zip(*classes, strict=True)], within.centres)
        means = torch.stack([own.mean(0) for own in joined.split([len(own[0]) for own in classes])])
        shrunk = means if shrinkage is None else means * shrinkage.to(means)[:, None]
        return within.centres, within.discriminate(shrunk)
    centres = _centres(classes)
    vectors = [_joined(own, centres) for own in classes]
    labels = torch.arange(len(classes), device=vectors[0].device)
    shots = torch.tensor([len(own) for own in vectors], device=labels.device)
    return centres, fit_lda(torch.cat(vectors), labels.repeat_interleave(shots), ridge, shrinkage)


def class_scores(blocks: Sequence[Tensor], centres: Sequence[Tensor], fitted: LDA) -> Float[Tensor, "Q N"]:
    """The score of each class for the blocks of queries, each (Q, D_b)."""
    return lda_to_classes(_joined(blocks, centres), fitted)


def left_out_scores(
    classes: Sequence[list[Tensor]],
    asked: Sequence[tuple[int, int]],
    queries: Sequence[list[Tensor]],
    views: int,
    ridge: float,
    shrinkage: Float[Tensor, " N"] | None = None,
) -> Iterator[Float[Tensor, " N"]]:
    """The scores of photos left out, one after the other, by the analysis without them; see ``Method.left_out``.

    Of many photos in closed form (``left_out_lda``). The centre is then that of all photos, the one left out included.
    Of few photos that would tell, so that they are analysed anew.

    Args:
        classes: as in ``discriminated``, V ``views`` of each photo.
        asked: class and photo of each.
        queries: the blocks of each of these photos.
        views: V.
        ridge: see ``fit_lda``.
        shrinkage: (N,) see ``fit_lda``; of the classes without a photo.
    """
    if sum(len(own[0]) for own in classes) <= _REFITTED:
        return (
            class_scores(query, *discriminated(_without(classes, own, photo, views), ridge, shrinkage))[0]
            for query, (own, photo) in zip(queries, asked, strict=True)
        )
    centres = _centres(classes)
    known = [_joined(one, centres).unflatten(0, (-1, views)) for one in classes]
    return left_out_lda(known, asked, torch.cat([_joined(one, centres) for one in queries]), ridge, shrinkage)


def _without(classes: Sequence[list[Tensor]], own: int, photo: int, views: int) -> list[list[Tensor]]:
    """The blocks of the classes without this photo, and without the last photo of the other classes."""
    rest = []
    for number, blocks in enumerate(classes):
        photos = len(blocks[0]) // views
        out = min(photo, photos - 1) if number == own else photos - 1
        kept = [row for row in range(len(blocks[0])) if photos == 1 or row // views != out]
        rest.append([block[kept] for block in blocks])
    return rest


def _centres(classes: Sequence[list[Tensor]]) -> list[Tensor]:
    """(D_b,) the mean of each block over all images."""
    return [torch.cat(block).mean(0) for block in zip(*classes, strict=True)]


def _joined(blocks: Sequence[Tensor], centres: Sequence[Tensor]) -> Float[Tensor, "B D"]:
    """Blocks less their centres, each of unit length, as one vector of unit length."""
    units = [functional.normalize(block - centre, dim=1) for block, centre in zip(blocks, centres, strict=True)]
    return torch.cat(units, dim=1) / len(units) ** 0.5
