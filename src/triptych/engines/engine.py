"""The contract of an engine: photos and a question in, answers out, in the order of the photos."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from triptych.data import ImageSource
from triptych.recognizer import Answer, Recognizer

__all__ = ["Engine", "PhotoSet", "Question"]


@dataclass(frozen=True)
class Question:
    """What is asked about photos; the fields are arguments of ``Recognizer.answers``.

    >>> from triptych.engines import Question
    >>> Question(unknown="none of these").false_alarm
    0.05
    """

    unknown: Hashable | None = None
    false_alarm: float = 0.05
    coverage: float | None = None

    def ask(self, recognizer: Recognizer, photos: Iterator[ImageSource]) -> Iterator[Answer]:
        """The recogniser's own answers.

        Raises:
            ValueError: unknowns or sets cannot be told.
        """
        return recognizer.answers(photos, self.unknown, self.false_alarm, self.coverage)


class PhotoSet(ABC):
    """Photos that lie somewhere. It can be pickled, so that another process reads them.

    Attributes:
        names: one for each photo.
    """

    names: tuple[str, ...]

    @abstractmethod
    def part(self, start: int, stop: int) -> Self:
        """The photos from one number to before another."""

    @abstractmethod
    def sources(self) -> Iterator[ImageSource]:
        """The photos, to be read; what is fetched from elsewhere is fetched when it is read."""

    @abstractmethod
    def marks(self) -> Iterator[str]:
        """What tells the photos from others of the same names: where they lie, sizes and times, or versions."""

    @abstractmethod
    def refuse_unreachable(self) -> None:
        """Raise a RuntimeError if this machine does not see the place of the photos."""


class Engine(ABC):
    """What answers.

    Attributes:
        name: as the command calls it.
        exact: it computes as the local engine does: on as many threads of a like processor, the same bits. A table
            that one such engine has begun, another may go on with.
    """

    name: ClassVar[str]
    exact: ClassVar[bool]

    def check(self, recognizer: Recognizer, question: Question) -> None:
        """Raise before there is a file or a cluster what ``answers`` would raise of the recogniser and the question."""
        question.ask(recognizer, iter(()))

    @abstractmethod
    def answers(self, recognizer: Recognizer, photos: PhotoSet, question: Question) -> Iterator[Answer]:
        """An answer for each photo, in their order. Photos are compared in batches of ``QUERY_BATCH``.

        Raises:
            ValueError: unknowns or sets cannot be told.
            RuntimeError: a library is missing (the message says how to install it), or photos cannot be fetched.
        """
