"""Episode files: the episodes of a seed written down, so that others can rerun just those.

A file is JSON. Images are numbered by their place in its list ``images``, and their names there say which they are::

    {"format": "triptych-episodes", "version": 1,
     "split": "test", "way": 5, "shot": 1, "queries": 15, "seed": 0,
     "data_fingerprint": "...", "classes": [...],
     "images": ["plum/1.jpg", ...],
     "episodes": [{"classes": [3, 0, ...], "support": [[17], ...], "query": [[4, 9, ...], ...]}, ...]}

``support`` and ``query`` have one list for each class of the episode, with ``shot`` and ``queries`` images.
``data_fingerprint`` is a hash of the images' bytes, their order, their labels and the names of the classes; where the
data lies does not count.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from triptych.data import ImageStore, Preprocessing, open_store
from triptych.evaluation.episodes import Episode, EpisodeSampler
from triptych.evaluation.settings import EpisodeSettings, EvaluateSettings
from triptych.system.files import read_named, writing_whole
from triptych.system.settings import check_kind
from triptych.system.wording import counted, printable

__all__ = ["EpisodeFile", "read_episodes", "write_episodes"]

T = TypeVar("T")

_FORMAT, _VERSION = "triptych-episodes", 1
_SIDE = 32  # decoded at, to learn which photos can be read
_ASKED = ("way", "shot", "queries", "seed")


@dataclass(frozen=True)
class EpisodeFile:
    """Episodes that a file holds; ``evaluate`` takes them in place of those of a seed.

    Attributes:
        name: how messages call it.
        sha256: of the file.
        settings: that the episodes were drawn with.
        fingerprint: of the data that they are of.
        classes: names of the classes.
        images: names of the images, by number.
        episodes: the tasks.
        drawn: the numbers of the classes of each task.
    """

    name: str
    sha256: str
    settings: EpisodeSettings
    fingerprint: str
    classes: tuple[str, ...]
    images: tuple[str, ...]
    episodes: tuple[Episode, ...]
    drawn: tuple[tuple[int, ...], ...]

    def settings_for(self, settings: EvaluateSettings, asked_for: Container[str] = ()) -> EvaluateSettings:
        """The settings of an evaluation of these episodes.

        Args:
            settings: of others than these, a default means the file's own.
            asked_for: names of those that were given, of which a default too means what it says.

        Raises:
            ValueError: they ask for other episodes.
        """
        for one in fields(EpisodeSettings):
            own, asked = getattr(self.settings, one.name), getattr(settings, one.name)
            if asked != own and (asked != one.default or one.name in asked_for):
                raise ValueError(f"{self.name}: its {one.name} is {own!r}, and {asked!r} is asked for; leave that out")
        return replace(settings, **asdict(self.settings))

    def tasks_of(self, store: ImageStore) -> tuple[Episode, ...]:
        """The episodes as tasks of a store.

        Raises:
            ValueError: other data, or photos that cannot be read here; and episodes that no data has.
        """
        if store.fingerprint != self.fingerprint:
            raise ValueError(
                f"{self.name}: its episodes are of other data: fingerprint {self.fingerprint:.12}... of "
                f"{counted(len(self.images), 'image')} of {len(self.classes)} classes, got {store.fingerprint:.12}... "
                f"of {counted(len(store), 'image')} of {len(store.classes)} classes; give the data of the file"
            )
        if self.classes != store.classes:
            raise ValueError(f"{self.name}: names other classes than the data that it is of; write the file anew")
        if len(store) != len(self.images):
            raise ValueError(
                f"{self.name}: its list images has {counted(len(self.images), 'name')}, the data has "
                f"{counted(len(store), 'photo')} that can be read; expected the same"
            )
        place = _places(self.images, store.names, self.name)
        labels = store.labels[place]  # of the file's images
        for number, (episode, drawn) in enumerate(zip(self.episodes, self.drawn, strict=True)):
            _check_episode(episode, drawn, labels, f"{self.name}: episode {number}")
        return tuple(episode.at(place) for episode in self.episodes)


def write_episodes(
    data: str | Path,
    path: str | Path,
    settings: EpisodeSettings = EpisodeSettings(),  # noqa: B008 (frozen)
) -> dict[str, Any]:
    """Write the episodes that ``evaluate`` draws with the same settings to a file.

    Args:
        data: a data set; see ``open_store``.
        path: the file.
        settings: which episodes.

    Returns:
        What the file says of itself, without images and episodes.

    Raises:
        ValueError: bad data or settings.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> from importlib import resources
    >>> from triptych.evaluation import EpisodeSettings, read_episodes, write_episodes
    >>> settings = EpisodeSettings(way=2, queries=2, episodes=3)
    >>> with tempfile.TemporaryDirectory() as out, resources.as_file(resources.files("triptych.samples")) as photos:
    ...     _ = write_episodes(photos, f"{out}/episodes.json", settings)
    ...     file = read_episodes(f"{out}/episodes.json")
    >>> len(file.episodes), file.images[0]
    (3, 'Avocado/Avocado_001.jpg')
    """
    check_kind(settings, EpisodeSettings, "EpisodeSettings")
    store = open_store(data, settings.split, Preprocessing(side=_SIDE))
    sampler = EpisodeSampler(store.labels, settings.way, settings.shot, settings.queries, settings.seed, store.classes)
    head = {
        "format": _FORMAT,
        "version": _VERSION,
        "split": settings.split,
        **{name: getattr(settings, name) for name in _ASKED},
        "data_fingerprint": store.fingerprint,
    }
    with writing_whole(path) as file:  # bit by bit: a million episodes are a gigabyte
        file.write(f"{json.dumps(head)[:-1]},\n".encode())
        file.write(f' "classes": {json.dumps(store.classes)},\n'.encode())
        images = ",\n  ".join(map(json.dumps, _without_common_folder(store.names)))
        file.write(f' "images": [\n  {images}],\n "episodes": ['.encode())
        for number in range(settings.episodes):
            row = json.dumps(_row(sampler[number], store.labels))
            file.write(f"{',' if number else ''}\n  {row}".encode())
        file.write(b"]}\n")
    return {**head, "episodes": settings.episodes, "classes": len(store.classes), "images": len(store)}


def read_episodes(path: str | Path) -> EpisodeFile:
    """The episodes of a file that ``write_episodes`` wrote, or somebody else in the same format.

    Raises:
        ValueError: it is missing, no such file, or damaged.
    """
    name = printable(path)
    data = read_named(path, "a file that triptych episodes wrote")
    try:
        content = json.loads(data)
        _check_head(content)
        rows = content["episodes"]
        asked = {key: content[key] for key in (*_ASKED, "split")}
        settings = EpisodeSettings(**asked, episodes=len(rows))
        episodes = tuple(_episode(row, settings) for row in rows)
        drawn = tuple(tuple(_all_of(int, row["classes"])) for row in rows)
        classes, images = (tuple(_all_of(str, content[key])) for key in ("classes", "images"))
        (fingerprint,) = _all_of(str, [content["data_fingerprint"]])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{name}: damaged or not a file of episodes ({_told(error):.200}); write one with triptych episodes"
        ) from error
    return EpisodeFile(name, hashlib.sha256(data).hexdigest(), settings, fingerprint, classes, images, episodes, drawn)


def _check_head(content: Any) -> None:
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    if content.get("format") != _FORMAT:
        raise ValueError(f"its format is {content.get('format')!r:.40}")
    version = content["version"]
    if type(version) is not int or version != _VERSION:
        later = type(version) is int and version > _VERSION
        raise ValueError(f"its version is {version!r:.40}; {'update triptych' if later else f'expected {_VERSION}'}")


def _all_of(kind: type[T], values: Any) -> list[T]:
    """A list of JSON whose members are all of a kind."""
    if not isinstance(values, list) or not all(type(one) is kind for one in values):
        raise TypeError
    return values


def _told(error: Exception) -> str:
    """What is wrong with a file, where Python's own words speak of its types."""
    if isinstance(error, KeyError):
        return f"no {error}"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
        return "no JSON"
    return str(error) if isinstance(error, ValueError) else "a part of another kind than the format says"


def _row(episode: Episode, labels: np.ndarray) -> dict[str, Any]:
    """An episode as the file has it."""
    support, query = (
        [images[truth == one].tolist() for one in range(int(truth.max()) + 1)]
        for images, truth in ((episode.support, episode.support_labels), (episode.query, episode.query_labels))
    )
    return {"classes": [int(labels[images[0]]) for images in support], "support": support, "query": query}


def _episode(row: Any, asked: EpisodeSettings) -> Episode:
    groups = [row["support"], row["query"]]
    if not all(isinstance(one, list) for group in groups for one in [group, *group]):
        raise ValueError("an episode without lists of images")
    sizes = [[len(one) for one in group] for group in groups]
    if sizes != [[asked.shot] * asked.way, [asked.queries] * asked.way]:
        told = f"{asked.way}-way {asked.shot}-shot with {asked.queries} queries of each class"
        raise ValueError(f"an episode that is not {told}, as the file says of itself")
    numbers = [number for group in groups for one in group for number in one]
    if not all(type(number) is int and 0 <= number < 2**62 for number in numbers):
        raise ValueError("an image that is no number of one")
    images, labels = zip(*map(_flat, groups), strict=True)
    return Episode(images[0], labels[0], images[1], labels[1])


def _flat(group: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    images = np.array([number for one in group for number in one], dtype=np.int64)
    return images, np.repeat(np.arange(len(group)), [len(one) for one in group])


def _check_episode(episode: Episode, drawn: Sequence[int], labels: np.ndarray, name: str) -> None:
    """Refuse an episode whose images are not of its classes, or that asks about what it shows."""
    images = episode.images
    if images.max() >= len(labels):
        raise ValueError(f"{name} has image {images.max()}; expected numbers below {len(labels)}")
    if len(np.unique(images)) != len(images):
        raise ValueError(f"{name} has an image twice; expected each in the support or the query, once")
    numbers = np.concatenate([episode.support_labels, episode.query_labels])
    pairs = np.unique(np.stack([numbers, labels[images]]), axis=1)  # each class of the episode, and what it is of
    if pairs[1].tolist() != list(drawn) or len(set(drawn)) != len(drawn):
        raise ValueError(f"{name} has images that are not of its classes; write the file anew with triptych episodes")


def _places(images: Sequence[str], names: Sequence[str], file: str) -> np.ndarray:
    """For each image of a file, its place among the photos of the data, found by its name.

    The same photos in another layout have other names. Then their order counts, which the fingerprint is of.
    """
    own = {name: number for number, name in enumerate(_without_common_folder(names))}
    wanted = _without_common_folder(images)
    if own.keys().isdisjoint(wanted):
        return np.arange(len(names))
    if unknown := [name for name in wanted if name not in own]:
        raise ValueError(
            f"{file}: names {printable(unknown[0])!r:.80}, which is none of the photos of the data "
            f"({len(unknown)} such names); expected the names of the data's photos, such as {next(iter(own))!r:.80}"
        )
    [(name, times)] = Counter(wanted).most_common(1)
    if times > 1:
        raise ValueError(f"{file}: names {printable(name)!r:.80} {times} times; expected each photo once")
    return np.array([own[name] for name in wanted], dtype=np.int64)


def _without_common_folder(names: Sequence[str]) -> list[str]:
    """Names below the folder that all of them lie in: where the data lies here is nobody else's concern."""
    names = [name.replace("\\", "/") for name in names]
    folder = names[0].rpartition("/")[0]
    while folder and not all(name.startswith(f"{folder}/") for name in names):
        folder = folder.rpartition("/")[0]
    return [name[len(folder) + 1 :] if folder else name for name in names]
