"""Attention of a query over the photos of the support, as Matching Networks classify by it."""

from collections.abc import Sequence
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.similarity.common import without_autocast
from triptych.similarity.vectors import cosines

__all__ = ["attention_to_classes"]


@without_autocast
def attention_to_classes(query: Float[Tensor, "Q C"], classes: Sequence[Float[Tensor, "_ C"]]) -> Float[Tensor, "Q N"]:
    r"""Logits of the attention that a query pays to the photos of each class.

    .. math:: s(q, n) = \log \frac{1}{K_n} \sum_{k=1}^{K_n} e^{\cos(x_q, x_{n,k})}

    With as many photos in every class, softmax over the classes gives the sum of the attention
    :math:`a(q, i) = e^{\cos(x_q, x_i)} / \sum_j e^{\cos(x_q, x_j)}` over the photos of a class: Vinyals, Blundell,
    Lillicrap, Kavukcuoglu and Wierstra, NeurIPS 2016, equation 1 and section 2.1.1. The mean takes the place of the sum
    so that classes may differ in shots.

    Args:
        query: (Q, C) vectors of the queries.
        classes: (K_n, C) vectors of the photos of each class.

    Returns:
        (Q, N) logits in [-1, 1].

    >>> import torch
    >>> from triptych.similarity import attention_to_classes
    >>> photos = torch.eye(2)
    >>> attention_to_classes(photos[:1], [photos, photos[1:]])
    tensor([[0.6201, 0.0000]])
    """
    columns = [cosines(query, photos).logsumexp(1) - log(len(photos)) for photos in classes]
    return torch.stack(columns, dim=1)
