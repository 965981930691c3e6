"""The registered forms of MML and of the methods that are a part of it: each is the function that it is named after."""

import pytest
import torch
from registry import small_method_of

from triptych.similarity import (
    distribution_similarity,
    global_similarity,
    part_similarity,
    pixel_similarity,
)

LABELS = torch.tensor([0, 0, 1])
WHOLE = {"pixel": {"k": 1}, "part": {"k": 1}}
FORMS: dict[str, dict[str, dict]] = {
    "protonet": {"global": {}},
    "dn4": {"pixel": {"k": 3}},
    "adm": {"distribution": {"distance": "kl"}, "pixel": {"k": 3}},
    "adm-kl": {"distribution": {"distance": "kl"}},
    "adm-wasserstein": {"distribution": {"distance": "wasserstein"}},
    "mml-paper": {"distribution": {"distance": "wasserstein"}, **WHOLE},
    "mml-paper-kl": {"distribution": {"distance": "kl"}, **WHOLE},
    "mml-paper-kl-reverse": {"distribution": {"distance": "kl_reverse"}, **WHOLE},
    "mml-paper-bures": {"distribution": {"distance": "bures"}, **WHOLE},
    "mml-paper-pixel": {"pixel": {"k": 1}},
    "mml-paper-part": {"part": {"k": 1}},
}
SIMILARITIES = {
    "global": global_similarity,
    "pixel": pixel_similarity,
    "part": part_similarity,
    "distribution": distribution_similarity,
}


@pytest.mark.parametrize("name", FORMS)
@torch.no_grad()
def test_each_form_is_the_levels_that_it_is_named_after(name: str) -> None:
    method = small_method_of(f"{name}-conv64f")
    torch.manual_seed(3)
    query, support = torch.randn(2, 3, 32, 32), torch.randn(3, 3, 32, 32)
    found = method.levels(query, support, LABELS)
    assert tuple(found) == tuple(FORMS[name])
    maps = method.backbone(query), method.backbone(support)
    for level, settings in FORMS[name].items():
        torch.testing.assert_close(found[level], SIMILARITIES[level](*maps, LABELS, **settings))
