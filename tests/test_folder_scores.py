"""The levels that benchmarks take from a folder's similarities are those of the method."""

import numpy as np
import pytest
import torch

from triptych.methods import Encoded, SalientConfig, SalientMML
from triptych.recognizer.leaving_out import leave_one_out
from triptych.similarity import class_members
from triptych.support import Support, support_of


@pytest.fixture
def encoded() -> Encoded:
    generator = torch.Generator().manual_seed(0)
    maps = {
        name: torch.rand(14, channels, 2, 3, generator=generator) for name, channels in (("stride16", 3), ("last", 4))
    }
    return Encoded({**maps, "maps": 6 * torch.rand(14, 9, 2, 3, generator=generator).square()})


def _supports(method: SalientMML, encoded: Encoded, photos: np.ndarray, labels: np.ndarray) -> list[Support]:
    members = class_members(torch.from_numpy(labels), len(photos))
    return [support_of(method, encoded[photos[mine.numpy()]]) for mine in members]


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 3]])
def test_levels_and_left_out_are_those_of_the_method(
    encoded: Encoded, labels: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend("benchmarks")
    from folder_scores import FolderScores, Learnt

    method = SalientMML(SalientConfig()).eval()
    monkeypatch.setattr(type(method.backbone), "last_follows", False)  # these maps are of no network
    encoded = method.restore(method.keep(encoded))  # as it comes from what is kept
    learnt = Learnt(np.arange(1, 1 + len(labels)), np.array(labels))
    spoilt = encoded.each(lambda tensor: tensor.flip(2) + 0.1)
    scores = FolderScores(method, encoded, {"flipped": spoilt})
    supports = _supports(method, encoded, learnt.photos, learnt.labels)
    for kind, asked in (("clean", encoded), ("flipped", spoilt)):
        expected = method.compare(asked[9:14], method.adapt([one.summary for one in supports]))
        found = scores.levels(learnt, np.arange(9, 14), kind)
        for level, values in expected.items():
            torch.testing.assert_close(found[level], values, rtol=1e-3, atol=1e-2)
    left_out = leave_one_out(method, supports)
    quick = scores.left_out(learnt)
    assert torch.equal(quick.truth, left_out.truth)
    assert [len(ids) for ids in quick.classes] == [len(ids) for ids in left_out.classes]
    for level, values in left_out.levels.items():
        torch.testing.assert_close(quick.levels[level], values, rtol=1e-3, atol=1e-2)
