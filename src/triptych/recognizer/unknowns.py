"""How known a photo is: what tells photos of the classes from photos of none of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import minimize
from torch import Tensor

__all__ = ["known_features", "known_score", "learn_known_weights", "usual_known_weights"]

_RIVALS = 5
# Of the margin of each level, and of the best class's own similarity. The second was chosen on groceries, birds and
# signs; with none of it, the usual score is that of the margin of the fused logits.
_MARGIN, _OWN = 1.0, 0.3


def known_features(
    contributions: Mapping[str, Float[Tensor, "Q N"]],
    absolute: Sequence[str] = (),
    without: Int64[Tensor, " Q"] | None = None,
) -> Float[Tensor, "Q F"]:
    """What tells how known photos are, of each level.

    First, for each level, how far the best class stands out from those that come next, at most five, all by the fused
    logits. An unknown photo resembles several classes about equally. Classes that it does not resemble at all are not
    counted. What a photo scores with every class, for example for a plain background, cancels out. Then, for each
    absolute level, what the best class scores.

    Args:
        contributions: level -> what it adds to the logits of each class, as ``Fusion.contributions`` gives it.
        absolute: levels whose similarity with a class means the same whatever the other classes show.
        without: a class of each photo that it does not have to choose from.

    Returns:
        (Q, F) one margin for each level, then one entry for each absolute level.

    >>> import torch
    >>> from triptych.recognizer.unknowns import known_features
    >>> known_features({"pixel": torch.tensor([[9.0, 1.0, 2.0]]), "part": torch.tensor([[0.0, 3.0, 1.0]])}, ["pixel"])
    tensor([[ 7.5000, -2.0000,  9.0000]], dtype=torch.float64)
    """
    levels = {name: scores.double() for name, scores in contributions.items()}
    logits = torch.stack(list(levels.values())).sum(0)
    choices = logits.shape[1]
    if without is not None:
        choices -= 1
        logits = logits.scatter(1, without[:, None], -torch.inf)
    ranked = logits.topk(min(_RIVALS + 1, choices), dim=1).indices  # (Q, 6)
    scores = {name: one.gather(1, ranked) for name, one in levels.items()}
    margins = [one[:, 0] - one[:, 1:].mean(1) for one in scores.values()]
    return torch.stack([*margins, *(scores[name][:, 0] for name in absolute)], dim=1)


def usual_known_weights(levels: int, absolute: int) -> Float[Tensor, " F"]:
    """The weights of ``known_features`` where no photo was left out.

    >>> from triptych.recognizer.unknowns import usual_known_weights
    >>> usual_known_weights(levels=2, absolute=1)
    tensor([1.0000, 1.0000, 0.3000], dtype=torch.float64)
    """
    return torch.tensor([_MARGIN] * levels + [_OWN] * absolute, dtype=torch.float64)


def known_score(features: Float[Tensor, "Q F"], weights: Float[Tensor, " F"]) -> Float[Tensor, " Q"]:
    """How known photos are: low for what is none of the classes.

    >>> import torch
    >>> from triptych.recognizer.unknowns import known_score
    >>> known_score(torch.tensor([[2.0, 1.0]]), torch.tensor([1.0, 0.5]))
    tensor([2.5000])
    """
    return (features * weights).sum(1)


def learn_known_weights(
    contributions: Mapping[str, Float[Tensor, "R N"]],
    truth: Int64[Tensor, " R"],
    absolute: Sequence[str] = (),
    trust: Float[Tensor, " R"] | None = None,
) -> Float[Tensor, " F"]:
    r"""The weights of ``known_features``, from the user's own photos: a logistic regression.

    Each photo left out is known when its class is among those that it has to choose from, and plays an unknown photo
    when its class is not. With the features :math:`f_r` and :math:`g_r` of the two, less the mean of all:

    .. math:: \arg\min_{w, b} \; \sum_r c_r \big[\log(1 + e^{-w f_r - b}) + \log(1 + e^{w g_r + b})\big]
        + \tfrac12 |w - v|^2

    around the usual weights v. With fewer than three classes a photo without its own has nothing to choose from, and
    the usual weights stay.

    Args:
        contributions: level -> (R, N), of the photos left out.
        truth: (R,) their classes.
        absolute: as in ``known_features``.
        trust: (R,) c, how much each photo counts; by default one.

    >>> import torch
    >>> from triptych.recognizer.unknowns import learn_known_weights
    >>> truth = torch.arange(300) % 3
    >>> telling = 5.0 * torch.nn.functional.one_hot(truth)
    >>> silent = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    >>> weights = learn_known_weights({"telling": telling, "silent": silent}, truth)
    >>> bool(weights[0] > 2 * weights[1].abs())
    True
    """
    usual = usual_known_weights(len(contributions), len(absolute)).numpy()
    if next(iter(contributions.values())).shape[1] < 3:
        return torch.from_numpy(usual)
    both = [known_features(contributions, absolute, without) for without in (None, truth)]
    features = torch.cat(both).cpu().numpy()
    features = features - features.mean(0)
    sign = np.repeat([1.0, -1.0], len(truth))
    counts = np.ones(len(truth)) if trust is None else trust.double().cpu().numpy()
    counts = np.tile(counts, 2)

    def cost(found: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offset = found[:-1], found[-1]
        scores = sign * (features @ weights + offset)
        pull = -counts * sign * np.exp(-np.logaddexp(0, scores))  # of the likelihood, on each score
        loss = counts @ np.logaddexp(0, -scores) + ((weights - usual) ** 2).sum() / 2
        return float(loss), np.append(features.T @ pull + weights - usual, pull.sum())

    found = minimize(cost, np.append(usual, 0.0), jac=True, method="L-BFGS-B").x
    return torch.from_numpy(found[:-1])
