"""What methods do in training alone, and the weights that they start from, as their papers or authors have them."""

import pytest
import torch
from registry import EACH, SIDE
from registry import small_method_of as small
from torch import nn

from triptych.methods import CovaMNet, CovaMNetConfig, Encoded, build_method
from triptych.methods.feat import SetTransformer
from triptych.methods.later import PartGraph

LABELS = torch.tensor([0, 0, 1])
DROP = {"covamnet-conv64f", "feat-conv64f", "mml-later-conv64f"}  # some of what they compare, in training


@pytest.mark.parametrize("name", EACH)
@torch.no_grad()
def test_chance_decides_in_training_alone_and_only_where_the_paper_says_so(name: str) -> None:
    method = small(name)
    query, support = method.encode(torch.randn(5, 3, SIDE, SIDE)).split([2, 3])

    def is_chance() -> bool:
        levels = [method.compare_encoded(query, support, LABELS) for _ in range(2)]
        return any(not torch.equal(levels[0][level], levels[1][level]) for level in levels[0])

    assert not is_chance()
    method.train()
    assert is_chance() == (name in DROP)


@pytest.mark.parametrize("name", ["relation-conv64f", "renet-conv64f"])
@torch.no_grad()
def test_batch_norm_sees_all_pairs_of_an_episode_at_once(name: str) -> None:
    seen = []
    for classes in (2, 4):
        method = small(name)
        query, support = method.encode(torch.randn(6, 3, SIDE, SIDE)).split([2, 4])
        own = [one for path, one in method.named_modules() if not path.startswith(("backbone.", "structure."))]
        norms = [one for one in own if isinstance(one, nn.BatchNorm2d)]
        method.train().compare_encoded(query, support, torch.arange(4) % classes)
        seen.append([int(one.num_batches_tracked or 0) for one in norms])
    assert min(seen[0]) > 0
    assert seen[0] == seen[1]


@torch.no_grad()
def test_covamnet_drops_half_of_the_positions() -> None:
    method = CovaMNet(CovaMNetConfig()).train()
    method.weights.fill_(1.0)
    maps = torch.ones(1, 64, 20, 20)
    maps[..., ::2] = -1  # each position is as far from the mean as any other
    scores = {}
    for mode in (True, False):
        levels = method.train(mode).compare(Encoded({"maps": maps}), [{"covariance": torch.eye(64)}] * 50)
        scores[mode] = levels["covariance"]
    kept = scores[True] / scores[False]  # what is kept counts twice
    assert kept.mean().item() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(kept * 200, (kept * 200).round(), atol=1e-2, rtol=0)
    assert kept.std().item() == pytest.approx(400**-0.5, rel=0.4)  # of so many fair coins


@torch.no_grad()
def test_the_graph_of_parts_drops_half_of_its_hidden_units() -> None:
    graph = PartGraph(64).train()
    for value in graph.parameters():
        value.zero_()
    graph.inward.bias.fill_(1.0)
    graph.outward.weight.fill_(1 / 256)
    parts = torch.randn(13, 64)
    added = graph(parts, connected=False) - parts
    assert added.mean().item() == pytest.approx(1, abs=0.1)
    assert added[:, 0].std().item() == pytest.approx(256**-0.5, rel=0.7)
    torch.testing.assert_close(graph.eval()(parts, connected=False), parts + 1)


@torch.no_grad()
def test_the_set_transformer_drops_half_of_what_attention_adds_and_a_tenth_of_attention() -> None:
    transformer = SetTransformer(64).train()
    transformer.norm = nn.Identity()  # type: ignore[assignment]
    for value in transformer.parameters():
        value.zero_()
    transformer.output.bias.fill_(1.0)
    vectors = torch.randn(200, 64)
    added = transformer(vectors) - vectors
    assert added.round().unique().tolist() == [0, 2]
    assert (added < 1).float().mean().item() == pytest.approx(0.5, abs=0.03)
    transformer.output.bias.zero_()
    transformer.output.weight.copy_(torch.eye(64))
    transformer.value.weight[:, 0] = 1.0  # every vector is read as its first channel, which is one
    transformer.dropout = nn.Identity()  # type: ignore[assignment]
    vectors[:, 0] = 1.0
    kept = 0.9 * 200 * (transformer(vectors) - vectors)[:, 0]  # of 200 equal attentions
    assert kept.mean().item() == pytest.approx(180, abs=2)
    torch.testing.assert_close(kept, kept.round(), atol=1e-2, rtol=0)
    assert kept.std().item() == pytest.approx((200 * 0.9 * 0.1) ** 0.5, rel=0.3)


def test_weights_start_as_the_authors_have_them() -> None:
    torch.manual_seed(0)
    assert build_method("covamnet-conv64f").get_parameter("weights").std().item() == pytest.approx(0.02, rel=0.15)
    feat = build_method("feat-conv64f").get_submodule("transformer")
    for layer in ("query", "key", "value", "output"):
        assert feat.get_parameter(f"{layer}.weight").std().item() == pytest.approx(1 / 8, rel=0.1), layer
    graph = build_method("mml-later-conv64f").get_submodule("graph")
    for layer, limit in (("inward", 1 / 16), ("outward", 1 / 8)):
        assert graph.get_parameter(f"{layer}.weight").abs().max().item() == pytest.approx(limit, rel=0.01), layer
        assert graph.get_parameter(f"{layer}.bias").abs().max().item() == pytest.approx(limit, rel=0.1), layer
