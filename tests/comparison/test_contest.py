"""All contenders answer one episode from the same maps, each as it would alone."""

import numpy as np
import pytest
import torch
from photos import photo
from toys import small_method

from triptych import Recognizer
from triptych.comparison.baselines import BASELINES, baseline_answers, pooled
from triptych.comparison.collection import collect
from triptych.comparison.contest import FUSED, contest, lacking
from triptych.evaluation import Episode, EpisodeSampler
from triptych.methods import MML, Encoded, MMLConfig
from triptych.recognizer.calibration import fusion_from
from triptych.recognizer.leaving_out import leave_one_out
from triptych.support import support_of


@pytest.fixture(params=["trained", "untrained"])
def method(request: pytest.FixtureRequest) -> MML:
    """The fusion of the second was never trained, as that over a pretrained backbone."""
    trained = small_method()
    return trained if request.param == "trained" else MML(trained.config, trained.backbone).eval()


def test_answers_are_those_of_a_recogniser_and_of_the_baselines(method: MML) -> None:
    images = [photo(kind, number) for kind in range(4) for number in range(4)]
    collection = collect(method, images, [kind for kind in range(4) for _ in range(4)])
    episode = EpisodeSampler(collection.labels, way=4, shot=2, queries=2)[0]
    vectors = pooled(collection.encoded.maps)
    answers = contest(method, collection.encoded, vectors, episode)
    assert list(answers) == [FUSED, *method.level_names, *BASELINES]

    recognizer = Recognizer(method).fit([images[i] for i in episode.support], episode.support_labels)
    asked = [images[i] for i in episode.query]
    assert answers[FUSED].tolist() == recognizer.predict(asked).tolist()
    for level, scores in recognizer.levels(asked).items():
        assert answers[level].tolist() == scores.argmax(axis=1).tolist()
    plain = baseline_answers(vectors[episode.support], episode.support_labels, vectors[episode.query])
    for name, own in plain.items():
        assert answers[name].tolist() == own.tolist()


def test_the_support_weighs_the_levels_as_it_does_for_a_recogniser(method: MML) -> None:
    images = [photo(kind, number) for kind in range(3) for number in range(4)]
    recognizer = Recognizer(method).fit(images, [kind for kind in range(3) for _ in range(4)])
    # In the recogniser's order of photos, so that the same ones are taken out of the classes compared with.
    classes = [support_of(method, recognizer.support_[kind].encoded) for kind in range(3)]
    learnt = fusion_from(method, classes, leave_one_out(method, classes))
    for name, value in recognizer.fusion_.state_dict().items():
        assert torch.equal(learnt.state_dict()[name], value)


@pytest.mark.parametrize("levels", [("pixel",), ("global", "pixel")])
def test_a_level_contends_alone_only_beside_others(levels: tuple[str, ...]) -> None:
    encoded = Encoded({"maps": torch.randn(6, 64, 3, 3)})
    episode = Episode(np.array([0, 1, 2]), np.array([0, 1, 1]), np.array([3, 4, 5]), np.array([0, 1, 1]))
    answers = contest(MML(MMLConfig(levels=levels)).eval(), encoded, pooled(encoded.maps), episode)
    assert list(answers) == [FUSED, *(levels if len(levels) > 1 else ()), *BASELINES]
    assert all(answer.shape == (3,) for answer in answers.values())


def test_a_level_left_out_leaves_the_others_as_if_it_had_never_been() -> None:
    method = MML(MMLConfig(levels=("global", "pixel"))).eval()
    encoded = Encoded({"maps": torch.randn(12, 64, 3, 3, generator=torch.Generator().manual_seed(0))})
    labels = np.array([0, 0, 0, 1, 1, 1])
    episode = Episode(np.arange(6), labels, np.arange(6, 12), labels)
    answers = contest(method, encoded, pooled(encoded.maps), episode, ablate=True)
    for level, other in (("global", "pixel"), ("pixel", "global")):  # of two levels the other one alone is left
        assert answers[lacking(level)].tolist() == answers[other].tolist()
    assert lacking("pixel") not in contest(method, encoded, pooled(encoded.maps), episode)
