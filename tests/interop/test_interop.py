"""Published checkpoints give the scores of an independent computation, and never run code."""

import pickle
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import oracle
import pytest
import torch
from torch import nn

from triptych import load_method
from triptych.data import Preprocessing, open_store
from triptych.evaluation import EpisodeSampler

MML = ["mml_wass_conv64f_tieredimagenet_5w1s", "mml_wass_conv64f_tieredimagenet_5w5s"]

_STATISTICS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def images(shared: Path):
    return open_store(shared / "data" / "miniimagenet", "test", Preprocessing(84))


def reference_network(state: dict[str, torch.Tensor], prefix: str = "features.", bias: bool = False) -> nn.Module:
    """The authors' network as method.md of the paper describes it, in float64."""
    layers: list[nn.Module] = []
    for inputs, pool in ((3, True), (64, True), (64, False), (64, False)):
        layers += [nn.Conv2d(inputs, 64, 3, padding=1, bias=bias), nn.BatchNorm2d(64), nn.LeakyReLU(0.2, True)]
        layers += [nn.MaxPool2d(2, 2)] if pool else []
    network = nn.Sequential(*layers)
    network.load_state_dict({name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)})
    return network.double().eval()


def reference_fusion(state: dict[str, torch.Tensor], levels: list[np.ndarray]) -> torch.Tensor:
    way = levels[0].shape[1]
    norm, conv = nn.BatchNorm1d(3 * way), nn.Conv1d(1, 1, 3, dilation=way, bias=False)
    norm.load_state_dict({k.split(".")[-1]: v for k, v in state.items() if "Norm_layer" in k})
    conv.load_state_dict({"weight": state["classifier.FC_layer.weight"]})
    joined = torch.from_numpy(np.concatenate(levels, axis=1))
    return conv.double()(norm.double().eval()(joined).unsqueeze(1)).squeeze(1).detach()


def fast_pixel(query: np.ndarray, maps: list[np.ndarray]) -> float:
    pool = np.array([oracle.unit(x) for one in maps for x in oracle.descriptors(one)])
    return sum(float((pool @ oracle.unit(x)).max()) for x in oracle.descriptors(query))


@pytest.mark.parametrize(("name", "shot"), [(MML[0], 1), (MML[1], 5)])
def test_published_mml_gives_the_scores_of_an_independent_computation(
    shared: Path, images, name: str, shot: int
) -> None:
    path = shared / "weights" / f"{name}.pth.tar"
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    episode = EpisodeSampler(images.labels, way=5, shot=shot, queries=1, seed=4)[0]
    labels = torch.from_numpy(episode.support_labels)
    method = load_method(path)
    query, support = (method.preprocess.normalise(images[i]) for i in (episode.query, episode.support))
    with torch.no_grad():
        levels, logits = method.levels(query, support, labels), method(query, support, labels)
        network = reference_network(state)
        maps = [
            network((images[i].permute(0, 3, 1, 2).double() / 255 - 0.5) / 0.5).numpy()
            for i in (episode.query, episode.support)
        ]
    expected = {
        "distribution": oracle.table(oracle.wasserstein, *maps, episode.support_labels),
        "pixel": oracle.table(fast_pixel, *maps, episode.support_labels),
        "part": oracle.table(lambda q, s: oracle.part(q, s, 1, False), *maps, episode.support_labels),
    }
    for level, scores in expected.items():
        np.testing.assert_allclose(levels[level].numpy(), scores, rtol=1e-4)
    fused = reference_fusion(state, list(expected.values()))
    np.testing.assert_allclose(logits.numpy(), fused.numpy(), atol=1e-3)
    assert torch.equal(logits.argsort(1), fused.argsort(1))


def nearest_three(query: np.ndarray, maps: list[np.ndarray]) -> float:
    """DN4's image-to-class measure: the three largest cosines of each descriptor, summed."""
    pool = np.array([oracle.unit(x) for one in maps for x in oracle.descriptors(one)])
    return sum(float(np.sort(pool @ oracle.unit(x))[-3:].sum()) for x in oracle.descriptors(query))


@pytest.mark.parametrize("shot", [1, 2])
def test_published_dn4_gives_the_scores_of_an_independent_computation(shared: Path, images, shot: int) -> None:
    path = shared / "weights" / "dn4_conv64f_miniimagenet_5w1s.pth.tar"
    state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    episode = EpisodeSampler(images.labels, way=3, shot=shot, queries=1)[2]
    query, support = (images[places] for places in (episode.query, episode.support))
    method, labels = load_method(path), torch.from_numpy(episode.support_labels)
    with torch.no_grad():
        logits = method(*(method.preprocess.normalise(one) for one in (query, support)), labels)
        network = reference_network(state, "features.features.", bias=True)
        maps = [network((one.permute(0, 3, 1, 2).double() / 255 - 0.5) / 0.5).numpy() for one in (query, support)]
    expected = oracle.table(nearest_three, *maps, episode.support_labels)
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-4)


def dn4_network(bias: bool) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, pool in ((3, True), (64, True), (64, False), (64, False)):
        layers += [nn.Conv2d(inputs, 64, 3, padding=1, bias=bias), nn.BatchNorm2d(64), nn.LeakyReLU(0.2)]
        layers += [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize(
    ("prefix", "bias", "key"), [("features.", False, "state_dict"), ("features.features.", True, "model")]
)
def test_both_layouts_of_dn4_are_read(tmp_path: Path, prefix: str, bias: bool, key: str) -> None:
    network = dn4_network(bias)
    state = {prefix + name: value for name, value in network.state_dict().items()}
    torch.save({"epoch_index": 3, key: state, "optimizer": {"state": {}}}, tmp_path / "x.pth.tar")
    method, images = load_method(tmp_path / "x.pth.tar"), torch.randn(2, 3, 32, 32)
    assert (method.level_names, method.config.pixel_k) == (("pixel",), 3)
    with torch.no_grad():
        torch.testing.assert_close(method.encode(images).maps, network(images), rtol=1e-4, atol=1e-5)


def test_published_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    state = {f"features.{name}": value for name, value in dn4_network(bias=False).state_dict().items()}
    state["features.0.weight"][0, 0, 0, 0] = torch.nan
    torch.save({"state_dict": state}, tmp_path / "x.pth.tar")
    with pytest.raises(ValueError, match=r"x.pth.tar: its weights are damaged \(some weights are not finite numbers\)"):
        load_method(tmp_path / "x.pth.tar")


def test_another_classifier_of_dn4_s_repository_is_refused(tmp_path: Path) -> None:
    state = {"features.features.0.weight": torch.zeros(64, 3, 3, 3)}
    torch.save({"classifier_model": "ProtoNet", "model": state}, tmp_path / "x.pth.tar")
    with pytest.raises(ValueError, match=r"x.pth.tar: its classifier_model is 'ProtoNet'; expected DN4"):
        load_method(tmp_path / "x.pth.tar")


@pytest.mark.parametrize(
    ("name", "levels", "distance", "slots"),
    [
        (MML[0], ("distribution", "pixel", "part"), "wasserstein", 5),
        ("adm_conv64f_miniimagenet_5w1s", ("distribution", "pixel"), "kl", 5),
        ("dn4_conv64f_miniimagenet_5w1s", ("pixel",), "wasserstein", None),
    ],
)
def test_the_kind_of_checkpoint_is_recognised(
    shared: Path, name: str, levels: tuple, distance: str, slots: int | None
) -> None:
    config = load_method(shared / "weights" / f"{name}.pth.tar").config
    assert (levels, config.distance, config.slots, config.part_normalize) == (levels, distance, slots, False)


def test_published_mml_refuses_another_way(shared: Path) -> None:
    method = load_method(shared / "weights" / f"{MML[0]}.pth.tar")
    with pytest.raises(ValueError, match=r"exactly 5 classes .* got 3"):
        method(torch.zeros(1, 3, 84, 84), torch.zeros(3, 3, 84, 84), torch.arange(3))


class Attack:
    """Creates a file when it is unpickled by a careless loader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    torch.save({"state_dict": {}, "payload": Attack(witness)}, tmp_path / "evil.pth.tar")
    (tmp_path / "plain.pth.tar").write_bytes(pickle.dumps(Attack(witness)))
    for name in ("evil", "plain"):
        with pytest.raises(ValueError, match=r"refuses to run; expected a published"):
            load_method(tmp_path / f"{name}.pth.tar")
    assert not witness.exists()


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello world\n" * 50)  # to a pickle's reader: "look up number 101"
    with pytest.raises(ValueError, match=r"note.txt: damaged, no checkpoint"):
        load_method(tmp_path / "note.txt")


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"state_dict": {"layer.weight": torch.zeros(1000)}}, tmp_path / "stored.pt")
    with ZipFile(tmp_path / "stored.pt") as stored, ZipFile(tmp_path / "bomb.pt", "w", ZIP_DEFLATED) as bomb:
        for name in stored.namelist():
            bomb.writestr(name, stored.read(name))
    with pytest.raises(ValueError, match="damaged, no checkpoint, or holds more than weights"):
        load_method(tmp_path / "bomb.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "not a published checkpoint"),
        ({"state_dict": {"a": "b"}}, "not a published checkpoint"),
        ({"state_dict": {5: torch.zeros(1)}}, "not a published checkpoint"),
        ({"state_dict": {"layer.weight": torch.zeros(1)}}, r"no 'features.\*' weights"),
        ({"state_dict": {"features.0.weight": torch.zeros(64, 3, 3, 3)}}, "do not fit"),
        ({"state_dict": {"features.99.weight": torch.zeros(1)}}, "do not fit"),
        (
            {"state_dict": {"features.0.weight": torch.zeros(1), "classifier.FC_layer.weight": torch.zeros(1, 1, 4)}},
            "4 fusion weights",
        ),
        (
            {
                "state_dict": {
                    "features.0.weight": torch.zeros(1),
                    "classifier.FC_layer.weight": torch.zeros(1, 1, 3),
                    **{f"classifier.Norm_layer.{name}": torch.tensor(1.0) for name in _STATISTICS},
                }
            },
            "statistics of 1 values",
        ),
    ],
)
def test_a_wrong_checkpoint_is_named(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "x.pth.tar")
    with pytest.raises(ValueError, match=message) as caught:
        load_method(tmp_path / "x.pth.tar")
    assert "x.pth.tar" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"garbage", b"PK\x03\x04 not a zip"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.pth.tar").write_bytes(data)
    with pytest.raises(ValueError, match=r"x.pth.tar: damaged"):
        load_method(tmp_path / "x.pth.tar")


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pth.tar"
    torch.save({"state_dict": {"features.0.weight": torch.zeros(64, 3, 3, 3)}}, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"x.pth.tar: damaged"):
        load_method(path)
