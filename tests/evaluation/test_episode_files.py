"""Episode files: the same result as the seed, on the same data alone."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import Command
from photos import class_folders, photo
from toys import small_method

from triptych.data import Preprocessing, open_store
from triptych.evaluation import (
    EpisodeSampler,
    EpisodeSettings,
    EvaluateSettings,
    evaluate,
    read_episodes,
    write_episodes,
)

ASKED = {"way": 3, "shot": 2, "queries": 2, "episodes": 4, "seed": 9}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("data"), classes=4, each=5)


@pytest.fixture
def file(data: Path, tmp_path: Path) -> Path:
    write_episodes(data, tmp_path / "episodes.json", EpisodeSettings(**ASKED))
    return tmp_path / "episodes.json"


def test_the_episodes_of_a_file_are_those_of_the_seed(data: Path, file: Path) -> None:
    store = open_store(data, None, Preprocessing(side=32))
    sampler = EpisodeSampler(store.labels, way=3, shot=2, queries=2, seed=9)
    found = read_episodes(file)
    assert len(found.episodes) == 4
    for number, episode in enumerate(found.tasks_of(store)):
        for name in ("support", "support_labels", "query", "query_labels"):
            np.testing.assert_array_equal(getattr(episode, name), getattr(sampler[number], name))
    content = json.loads(file.read_text())
    first = content["episodes"][0]
    named = [content["images"][image] for image in first["support"][0]]
    assert all(name.startswith(f"{content['classes'][first['classes'][0]]}/") for name in named)


def test_an_evaluation_is_the_same_wherever_the_data_lies(data: Path, file: Path, tmp_path: Path) -> None:
    by_seed = evaluate(data, small_method(), "small", EvaluateSettings(**ASKED))
    moved = shutil.copytree(data, tmp_path / "elsewhere")
    by_file = evaluate(moved, small_method(), "small", episodes=read_episodes(file))
    assert by_file["levels"] == by_seed["levels"]
    assert {name: by_file[name] for name in ASKED} == ASKED
    assert len(by_file["episodes_file"]["sha256"]) == 64


def test_other_data_is_refused_in_one_sentence(data: Path, file: Path, tmp_path: Path) -> None:
    other = shutil.copytree(data, tmp_path / "other")
    photo(0, 99).save(other / "class0" / "0.png")
    with pytest.raises(ValueError, match=r"its episodes are of other data: fingerprint .* of 20 images of 4 classes"):
        evaluate(other, small_method(), "small", episodes=read_episodes(file))


def test_photos_that_cannot_be_read_are_in_no_episode(data: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(data, tmp_path / "broken")
    (broken / "class1" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    asked = ASKED | {"shot": 1}
    with pytest.warns(UserWarning, match="skipped 1 unreadable photo"):
        write_episodes(broken, tmp_path / "e.json", EpisodeSettings(**asked))
    with warnings.catch_warnings(action="ignore"):
        by_file = evaluate(broken, small_method(), "small", episodes=read_episodes(tmp_path / "e.json"))
        by_seed = evaluate(broken, small_method(), "small", EvaluateSettings(**asked))
    assert by_file["levels"] == by_seed["levels"]
    assert "class1/0.png" not in json.loads((tmp_path / "e.json").read_text())["images"]


def test_settings_that_ask_for_other_episodes_are_refused(data: Path, file: Path) -> None:
    with pytest.raises(ValueError, match="its way is 3, and 4 is asked for; leave that out"):
        evaluate(data, small_method(), "small", EvaluateSettings(way=4), read_episodes(file))


def rewritten(file: Path, **changes: object) -> Path:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return file


def one_episode(support: list, query: list, classes: object = (0, 1)) -> dict:
    """A file's head and its only episode, 2-way 1-shot with 1 query."""
    return {"way": 2, "shot": 1, "queries": 1, "episodes": [{"classes": classes, "support": support, "query": query}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "else"}, "its format is 'else'"),
        ({"version": 2}, "its version is 2; update triptych"),
        ({"version": "1"}, r"\(its version is '1'; expected 1\)"),
        ({"version": 0}, r"\(its version is 0; expected 1\)"),
        ({"way": 1}, "way must be a whole number of at least 2, got 1"),
        ({"images": None}, r"not a file of episodes \(a part of another kind than the format says\)"),
        ({"episodes": []}, "episodes must be a whole number from 1"),
        (one_episode([[0], []], [[1], [6]]), "not 2-way 1-shot with 1 queries"),
        (one_episode([[0]], [[1]]), "not 2-way 1-shot with 1 queries"),
        (one_episode([[0], [5]], [[1], [True]]), "an image that is no number"),
        (one_episode([[0], [5]], [[1], [-1]]), "an image that is no number"),
        ({"episodes": [5]}, "not a file of episodes"),
        (one_episode([0, 5], [[1], [6]]), "without lists of images"),
        (one_episode([[0, 2], [5, 7]], [[1], [6]]), "not 2-way 1-shot with 1 queries of each class, as the file says"),
        (one_episode([[0], [5]], [[1], [6, 7]]), "not 2-way 1-shot"),
        (one_episode([[0], [5], [10]], [[1], [6], [11]], [0, 1, 2]), "not 2-way 1-shot"),
        ({"shot": 1}, "not 3-way 1-shot with 2 queries"),
        (one_episode([[0], [5]], [[1], [6]], 2), "not a file of episodes"),
        (one_episode([[0], [5]], [[1], [6]], [False, True]), "not a file of episodes"),
        ({"classes": "abcd"}, "not a file of episodes"),
        ({"classes": ["a", 5, "c", "d"]}, "not a file of episodes"),
        ({"images": [[]] * 20}, "not a file of episodes"),
        ({"data_fingerprint": 5}, "not a file of episodes"),
    ],
)
def test_a_file_with_something_wrong_is_refused(file: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_episodes(rewritten(file, **changes))


@pytest.mark.parametrize(
    ("content", "told"), [(b"[]", "expected a JSON object"), (b"7", "expected a JSON object"), (b"\xff\xd8", "no JSON")]
)
def test_another_file_is_told_in_plain_words(file: Path, content: bytes, told: str) -> None:
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"episodes\.json: damaged or not a file of episodes \({told}\); write one with"
    ):
        read_episodes(file)


def test_a_missing_file_is_wrong_usage(command: Command, data: Path) -> None:
    ended = command("evaluate", data, "--episodes-file", "none.json")
    assert (ended.code, ended.err) == (
        2,
        "error: none.json: no such file; expected a file that triptych episodes wrote\n",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (one_episode([[0], [5]], [[1], [20]]), "episode 0 has image 20; expected numbers below 20"),
        (one_episode([[0], [5]], [[0], [6]]), "episode 0 has an image twice"),
        (one_episode([[0], [5]], [[1], [2]]), "not of its classes"),
        (one_episode([[0], [1]], [[2], [3]]), "not of its classes"),
        (one_episode([[0], [1]], [[2], [3]], [0, 0]), "not of its classes"),
        (one_episode([[0], [5]], [[1], [6]], [0, 2]), "not of its classes"),
        (one_episode([[0], [5]], [[1], [6]], [0, 1, 2]), "not of its classes"),
        ({"classes": ["a", "b", "c", "d"]}, "names other classes than the data that it is of"),
    ],
)
def test_episodes_that_would_flatter_are_refused(data: Path, file: Path, content: dict, message: str) -> None:
    found = read_episodes(rewritten(file, **content))
    with pytest.raises(ValueError, match=message):
        found.tasks_of(open_store(data, None, Preprocessing(side=32)))


def test_episodes_of_another_program_are_evaluated(data: Path, file: Path) -> None:
    found = read_episodes(rewritten(file, **one_episode([[5], [0]], [[6], [2]], [1, 0])))
    assert 0 <= evaluate(data, small_method(), "small", episodes=found)["accuracy"] <= 1


def reversed_list(file: Path) -> Path:
    """The same episodes of another program, which lists the photos from the last to the first."""
    content = json.loads(file.read_text())
    last = len(content["images"]) - 1
    for episode in content["episodes"]:
        for part in ("support", "query"):
            episode[part] = [[last - image for image in images] for images in episode[part]]
    return rewritten(file, images=content["images"][::-1], episodes=content["episodes"])


def test_the_list_of_the_file_says_which_photo_a_number_is(data: Path, file: Path) -> None:
    before = read_episodes(file)
    figures = evaluate(data, small_method(), "small", episodes=before)["levels"]
    found = read_episodes(reversed_list(file))
    assert any((one.support != other.support).any() for one, other in zip(found.episodes, before.episodes, strict=True))
    assert evaluate(data, small_method(), "small", episodes=found)["levels"] == figures


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {3: "class0/30.png"},
            "names 'class0/30.png', which is none of the photos of the data .*such as 'class0/0.png'",
        ),
        ({3: "class0/2.png"}, "names 'class0/2.png' 2 times; expected each photo once"),
    ],
)
def test_a_list_of_other_photos_is_refused(data: Path, file: Path, changed: dict[int, str], told: str) -> None:
    images = json.loads(file.read_text())["images"]
    found = read_episodes(rewritten(file, images=[changed.get(number, name) for number, name in enumerate(images)]))
    with pytest.raises(ValueError, match=f"episodes.json: {told}"):
        evaluate(data, small_method(), "small", episodes=found)


@pytest.mark.parametrize(
    "elsewhere",
    [lambda name: name.replace("/", "\\"), lambda name: f"C:\\me\\{name}", lambda name: f"test.parquet:{name}"],
    ids=["Windows", "a folder there", "another layout"],
)
def test_where_the_photos_lay_does_not_count(data: Path, file: Path, elsewhere: Callable[[str], str]) -> None:
    found = read_episodes(rewritten(file, images=list(map(elsewhere, json.loads(file.read_text())["images"]))))
    figures = evaluate(data, small_method(), "small", episodes=found)["levels"]
    assert figures == evaluate(data, small_method(), "small", episodes=read_episodes(file))["levels"]


def test_a_list_may_name_the_folder_that_the_data_lay_in(data: Path, file: Path) -> None:
    images = [f"/home/me/photos/{name}" for name in json.loads(file.read_text())["images"]]
    found = read_episodes(rewritten(file, images=images))
    assert len(found.tasks_of(open_store(data, None, Preprocessing(side=32)))) == 4


def test_an_option_that_is_typed_is_compared_though_it_is_the_default(
    command: Command, data: Path, file: Path, tmp_path: Path
) -> None:
    for name, own, typed in (("way", 3, 5), ("shot", 2, 1), ("queries", 2, 15), ("episodes", 4, 2000), ("seed", 9, 0)):
        ended = command("evaluate", data, "--episodes-file", file, f"--{name}", typed)
        assert ended.code == 2
        assert f"its {name} is {own}, and {typed} is asked for; leave that out" in ended.err
    (tmp_path / "settings.yaml").write_text("evaluate:\n  way: 5\n")
    ended = command("evaluate", data, "--episodes-file", file, "--config", tmp_path / "settings.yaml")
    assert (ended.code, "its way is 3, and 5 is asked for" in ended.err) == (2, True)
    assert command("evaluate", data, "--episodes-file", file, "--way", 3, "--json").json["way"] == 3


def test_the_folder_of_a_run_holds_the_settings_of_the_file(
    command: Command, data: Path, file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    ended = command("evaluate", data, "--episodes-file", file, "--run-folder", folder, "--json")
    assert ended.code == 0, ended.err
    held = yaml.safe_load((folder / "config.yaml").read_text())["evaluate"]
    assert {name: held[name] for name in ASKED} == ASKED
    again = command("evaluate", "--config", folder / "config.yaml", "--json")
    assert again.json["levels"] == ended.json["levels"]


def test_the_commands(command: Command, data: Path, tmp_path: Path) -> None:
    file, asked = tmp_path / "e.json", ("--way", 2, "--queries", 2, "--episodes", 3, "--seed", 4)
    told = command("episodes", data, "--out", file, *asked)
    assert (told.code, told.out) == (0, f"{file}: 3 episodes, 2-way 1-shot, of 20 images\n"), told.err
    assert "exists already; replace it with --overwrite" in command("episodes", data, "--out", file, *asked).err
    assert command("episodes", data, "--out", file, *asked, "--overwrite", "--json").json["episodes"] == 3
    by_file = command("evaluate", data, "--episodes-file", file, "--json")
    assert by_file.code == 0, by_file.err
    assert by_file.json["levels"] == command("evaluate", data, *asked, "--json").json["levels"]
    assert "2-way 1-shot, 3 episodes, seed 4" in command("evaluate", data, "--episodes-file", file).out
    ended = command("evaluate", data, "--episodes-file", data / "class0" / "0.png")
    assert (ended.code, "not a file of episodes" in ended.err) == (2, True)
