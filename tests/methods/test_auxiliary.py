"""Losses of photos, beside that of the logits, against naive float64 loops written from their papers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from photos import split_folders
from registry import EACH, SIDE, backbone_of, method_over
from registry import small_method_of as small
from torch import nn

from triptych.data import open_store
from triptych.evaluation import EpisodeSampler
from triptych.methods import EncodedEpisode, FEATConfig, FRNConfig, Method, RENetConfig
from triptych.training.episodic import encoded_episode

LABELS, TRUTH, CLASSES = torch.tensor([0, 0, 1, 2]), torch.tensor([2, 0, 1, 1, 0]), torch.tensor([4, 1, 3])


def episode_of(method: Method) -> EncodedEpisode:
    """3-way, unequal shots, of five training classes."""
    torch.manual_seed(3)
    with torch.no_grad():
        support, query = method.encode(torch.randn(9, 3, SIDE, SIDE)).split([4, 5])
    return EncodedEpisode(support, query, LABELS, TRUTH, CLASSES)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def transformed(weights: dict[str, np.ndarray], vectors: list[np.ndarray]) -> list[np.ndarray]:
    """The set transformer of FEAT, one vector after the other."""
    found = []
    for vector in vectors:
        asked = weights["query.weight"] @ vector
        attention = softmax(np.array([asked @ (weights["key.weight"] @ other) for other in vectors]) / 8)
        read = sum(share * (weights["value.weight"] @ other) for share, other in zip(attention, vectors, strict=True))
        total = vector + weights["output.weight"] @ read + weights["output.bias"]
        unit = (total - total.mean()) / np.sqrt(total.var() + 1e-5)
        found.append(unit * weights["norm.weight"] + weights["norm.bias"])
    return found


def test_feat_wants_photos_near_the_adapted_mean_of_their_class() -> None:
    method = method_over(FEATConfig(contrast=0.7, contrast_temperature=5.0), backbone_of("conv64f"))
    episode = episode_of(method)
    weights = {key: value.double().numpy() for key, value in method.transformer.state_dict().items()}
    maps = torch.cat([episode.support.maps, episode.query.maps]).double().numpy()
    vectors, classes = [one.mean((1, 2)) for one in maps], [*LABELS.tolist(), *TRUTH.tolist()]
    means = []
    for n in range(3):
        mine = [vector for vector, label in zip(vectors, classes, strict=True) if label == n]
        means.append(sum(transformed(weights, mine)) / len(mine))
    terms = []
    for vector, label in zip(vectors, classes, strict=True):
        logits = np.array([-np.sum((vector - mean) ** 2) / 5 for mean in means])
        terms.append(-np.log(softmax(logits)[label]))
    found = method.auxiliary_loss(episode, method.training_head(5))
    assert found is not None
    assert found.item() == pytest.approx(0.7 * np.mean(terms), rel=1e-4)


def test_renet_tells_the_training_class_of_a_query_without_the_support() -> None:
    method = method_over(RENetConfig(anchor=3.0), backbone_of("conv64f"))
    episode, head = episode_of(method), method.training_head(5)
    assert isinstance(head, nn.Linear)
    weight, bias = head.weight.detach().double().numpy(), head.bias.detach().double().numpy()
    terms = []
    for query, label in zip(episode.query.maps.double().numpy(), TRUTH.tolist(), strict=True):
        pooled = np.zeros(64)
        for position in np.ndindex(query.shape[1:]):
            descriptor = query[(slice(None), *position)]
            pooled += (descriptor - descriptor.mean()) / (query.shape[1] * query.shape[2])
        logits = np.array([weight[c] @ pooled + bias[c] for c in range(5)])
        terms.append(-np.log(softmax(logits)[CLASSES[label]]))
    found = method.auxiliary_loss(episode, head)
    assert found is not None
    assert found.item() == pytest.approx(3 * np.mean(terms), rel=1e-4)


def test_frn_wants_descriptors_of_different_classes_to_be_orthogonal() -> None:
    method = method_over(FRNConfig(orthogonality=0.4, scale=3.0), backbone_of("conv64f"))
    episode = episode_of(method)
    units = []
    for image in episode.support.maps.double().numpy():
        rows = [image[(slice(None), *position)] for position in np.ndindex(image.shape[1:])]
        units.append([row / np.sqrt(np.sum(row**2)) for row in rows])
    pools = [
        [row for rows, label in zip(units, LABELS.tolist(), strict=True) if label == n for row in rows]
        for n in range(3)
    ]
    terms = [
        np.mean([(one @ other) ** 2 for one in pools[n] for other in pools[m]])
        for n in range(3)
        for m in range(3)
        if m != n
    ]
    found = method.auxiliary_loss(episode, method.training_head(5))
    assert found is not None
    assert found.item() == pytest.approx(0.4 * np.mean(terms), rel=1e-4)


@pytest.mark.parametrize("config", [FEATConfig(contrast=0.0), FRNConfig(orthogonality=0.0), RENetConfig(anchor=0.0)])
def test_a_weight_of_zero_is_no_loss(config: FEATConfig | FRNConfig | RENetConfig) -> None:
    method = method_over(config, backbone_of("conv64f"))
    assert method.training_head(5) is None
    assert method.auxiliary_loss(episode_of(method), None) is None


@pytest.mark.parametrize("name", EACH)
def test_an_auxiliary_loss_reaches_the_network(name: str) -> None:
    method = small(name, shared=False).train()
    head = method.training_head(5)
    support, query = method.encode(torch.randn(9, 3, SIDE, SIDE)).split([4, 5])
    found = method.auxiliary_loss(EncodedEpisode(support, query, LABELS, TRUTH, CLASSES), head)
    assert (found is None) == (type(method).auxiliary_loss is Method.auxiliary_loss)
    if found is None:
        assert head is None
        return
    assert found.ndim == 0
    found.backward()
    trained = [*method.backbone.parameters(), *([] if head is None else head.parameters())]
    assert all(one.grad is not None and one.grad.isfinite().all() and one.grad.any() for one in trained)


def test_classes_of_an_episode_are_those_of_training(tmp_path: Path) -> None:
    data = split_folders(tmp_path)
    method = small("protonet-conv64f")
    store = open_store(data, "train", method.preprocess)
    episode = EpisodeSampler(store.labels, way=3, shot=2, queries=1)[4]
    images = method.preprocess.normalise(store[episode.images])
    found = encoded_episode(method.encode(images), episode, torch.from_numpy(store.labels[episode.images]))
    assert found.classes[found.labels].tolist() == store.labels[episode.support].tolist()
    assert found.classes[found.truth].tolist() == store.labels[episode.query].tolist()
    assert torch.equal(found.query.maps, method.encode(images).maps[6:])
