"""Earth mover's distance between the descriptors of two images, weighted by what they have in common."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from triptych.similarity.common import at_least_float32, without_autocast
from triptych.system.extras import extra

__all__ = ["earth_movers_similarity", "transported"]

_LEAST_WEIGHT = 1e-3  # of a descriptor that has nothing in common with the other image; the authors'


@without_autocast
def earth_movers_similarity(
    query: Float[Tensor, "Q M C"], classes: Sequence[Float[Tensor, "_ C"]]
) -> Float[Tensor, "Q N"]:
    r"""One minus the earth mover's distance between the descriptors of a query and those of a class.

    .. math:: s(q, n) = \max_{F \ge 0} \sum_{ij} F_{ij} \cos(\tilde u_i, \tilde v_j), \qquad
        \sum_j F_{ij} = a_i, \quad \sum_i F_{ij} = b_j

    with the descriptors u (M, C) of the query and v (J, C) of the class, :math:`\tilde u` less the mean of its
    channels, and weights that are proportional to

    .. math:: a_i \propto \max(u_i^T \bar v, 0) + 0.001, \qquad b_j \propto \max(v_j^T \bar u, 0) + 0.001

    and sum to one. Zhang, Cai, Lin and Shen, CVPR 2020 (DeepEMD); the centring and 0.001 are those of
    the authors' code. The linear programme is solved exactly, and so is its gradient.

    Raises:
        RuntimeError: POT is not installed.

    >>> import torch
    >>> from triptych.similarity import earth_movers_similarity
    >>> query = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> earth_movers_similarity(query, [query[0].flip(0), query[0, :1]]).round(decimals=4)
    tensor([[1.0000, 0.9980]])
    """
    query = at_least_float32(query)
    directions = _directions(query)  # (Q, M, C)
    columns = []
    for pool in classes:
        pool = at_least_float32(pool)
        cosines = directions @ _directions(pool).T  # (Q, M, J)
        of_query = _shares(query @ pool.mean(0))  # (Q, M)
        of_class = _shares(query.mean(1) @ pool.T)  # (Q, J)
        most = [transported(*one) for one in zip(cosines, of_query, of_class, strict=True)]
        columns.append(torch.stack(most) if most else query.new_zeros(0))
    return torch.stack(columns, dim=1)


def transported(
    similarities: Float[Tensor, "M J"], supply: Float[Tensor, " M"], demand: Float[Tensor, " J"]
) -> Float[Tensor, ""]:
    r"""The most similarity that can be transported from a supply to a demand, which both sum to one.

    .. math:: \max_{F \ge 0} \sum_{ij} F_{ij} s_{ij}, \qquad F 1 = a, \quad F^T 1 = b

    Exact, by the network simplex of POT. The gradient is that of the linear programme: the flow by the similarities,
    the dual variables by supply and demand.

    >>> import torch
    >>> from triptych.similarity import transported
    >>> half = torch.tensor([0.5, 0.5])
    >>> transported(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), half, half)
    tensor(1.)
    """
    cost, mass, wanted = (one.detach().double().cpu().numpy() for one in (-similarities, supply, demand))
    flow, log = _pot().emd(mass / mass.sum(), wanted / wanted.sum(), cost, log=True, check_marginals=False)
    flow, of_supply, of_demand = (torch.from_numpy(one).to(similarities) for one in (flow, -log["u"], -log["v"]))
    total = (flow * similarities).sum()
    # The value of the flow already counts supply and demand: only their gradients are added.
    return total + (supply - supply.detach()) @ of_supply + (demand - demand.detach()) @ of_demand


def _directions(descriptors: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
    return functional.normalize(descriptors - descriptors.mean(-1, keepdim=True), dim=-1)


def _shares(products: Float[Tensor, "Q M"]) -> Float[Tensor, "Q M"]:
    weights = products.relu() + _LEAST_WEIGHT
    return weights / weights.sum(1, keepdim=True)


def _pot() -> Any:
    with extra("emd", "DeepEMD needs POT"):
        import ot
    return ot
