"""Leave-one-out of a discriminant analysis in closed form: one factorisation serves every image that is left out."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.similarity.common import without_autocast
from triptych.similarity.lda import ShrunkInverse

__all__ = ["left_out_lda"]


class _Base(NamedTuple):
    """The analysis of all classes, each without its last image."""

    means: Float[Tensor, "N D"]
    sizes: list[int]  # vectors of each class
    inverse: ShrunkInverse
    directions: Float[Tensor, "N D"]
    shrinkage: Float[Tensor, " N"]  # of the means

    def scores(self, query: Float[Tensor, " D"]) -> Float[Tensor, " N"]:
        return self.scored(self.directions @ query, (self.directions * self.means).sum(1))

    def scored(self, to_query: Float[Tensor, " N"], to_itself: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """From products of the means, not shrunk, with a query and with themselves."""
        return self.shrinkage * to_query - self.shrinkage.square() * to_itself / 2


@torch.no_grad()
@without_autocast
def left_out_lda(
    classes: Sequence[Float[Tensor, "_ V D"]],
    asked: Sequence[tuple[int, int]],
    queries: Float[Tensor, "R D"],
    ridge: float,
    shrinkage: Float[Tensor, " N"] | None = None,
) -> Iterator[Float[Tensor, " N"]]:
    r"""What ``fit_lda`` scores for images left out, each in the analysis without it.

    To compare an image p of class c, p is taken out of its class, and the last image l out of every other class. That
    is the analysis of all classes without their last images, with l in place of p in class c, whose covariance differs
    in few directions,

    .. math:: \Sigma' = \Sigma + \tfrac{1}{f} (l l^T - p p^T - k \mu'_c \mu_c'^T + k \mu_c \mu_c^T) =
        \Sigma + U^T M U

    so that :math:`\Sigma'^{-1} = \Sigma^{-1} - \Sigma^{-1} U^T (M^{-1} + U \Sigma^{-1} U^T)^{-1} U \Sigma^{-1}`
    (Woodbury). The class keeps its k images and the analysis its f degrees of freedom.

    Args:
        classes: the vectors of each class: V views of each of its images.
        asked: class and image of each that is left out; an image beyond those of ``classes`` was not learnt from.
        queries: (R, D) the vectors of the images asked about.
        ridge: see ``fit_lda``.
        shrinkage: (N,) see ``fit_lda``; of the classes without an image.

    Returns:
        the (N,) scores of one after the other.

    >>> import torch
    >>> from triptych.similarity.lda_left_out import left_out_lda
    >>> classes = [torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([[[-1.0]], [[-3.0]]])]
    >>> next(left_out_lda(classes, [(0, 0)], torch.tensor([[1.0]]), ridge=1.0))
    tensor([-1.5000, -1.5000], dtype=torch.float64)
    """
    vectors = [one.double() for one in classes]
    base = _base(vectors, ridge, shrinkage)
    for (own, photo), query in zip(asked, queries.double(), strict=True):
        if photo >= max(len(vectors[own]) - 1, 1):
            yield base.scores(query)
        else:
            yield _swapped(base, query, own, vectors[own][photo], vectors[own][-1])


def _base(classes: Sequence[Float[Tensor, "_ V D"]], ridge: float, shrinkage: Float[Tensor, " N"] | None) -> _Base:
    kept = [(one[:-1] if len(one) > 1 else one).flatten(0, 1) for one in classes]
    means = torch.stack([one.mean(0) for one in kept])
    deviations = torch.cat([one - mean for one, mean in zip(kept, means, strict=True)])
    inverse = ShrunkInverse.of(deviations, len(kept), ridge)
    shrinkage = means.new_ones(len(means)) if shrinkage is None else shrinkage.to(means)
    return _Base(means, [len(one) for one in kept], inverse, inverse.times(means), shrinkage)


def _swapped(
    base: _Base, query: Float[Tensor, " D"], own: int, out: Float[Tensor, "V D"], into: Float[Tensor, "V D"]
) -> Float[Tensor, " N"]:
    """The scores with the views of one image of a class exchanged for those of another."""
    size, views = base.sizes[own], len(out)
    before = base.means[own]
    after = before + (into.sum(0) - out.sum(0)) / size
    changed = torch.cat([into, out, after[None], before[None]])  # U, (2V + 2, D)
    signs = torch.tensor([1.0] * views + [-1.0] * views + [-size, size], dtype=query.dtype, device=query.device)
    solved = base.inverse.times(changed)
    among = solved @ changed.T  # U inverse U^T
    small = torch.diag(base.inverse.freedom / signs) + (among + among.T) / 2
    with_means = base.means @ solved.T  # (N, 2V + 2)
    with_means[own] = among[-2]
    with_query = solved @ query
    plain, lengths = base.directions @ query, (base.directions * base.means).sum(1)
    plain[own], lengths[own] = with_query[-2], among[-2, -2]
    corrected = torch.linalg.solve(small, torch.cat([with_query[:, None], with_means.T], dim=1))  # (2V + 2, 1 + N)
    to_query = plain - with_means @ corrected[:, 0]
    to_itself = lengths - (with_means * corrected[:, 1:].T).sum(1)
    return base.scored(to_query, to_itself)
