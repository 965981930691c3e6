"""Questions of many clients, answered together: a bounded queue, and one thread that computes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from triptych.data import NamedBytes
from triptych.recognizer import Answer, Recognizer
from triptych.serve.inbox import Inbox
from triptych.support import in_one_pass

__all__ = ["Batcher", "Busy", "Question"]

# Photos in one pass on each core: both take the weights from memory once, and a layer's maps stay in the cache.
_ON_CPU = 2


class Busy(RuntimeError):  # noqa: N818 (it says what the service is)
    """The queue is full, or the service is ending."""


@dataclass(frozen=True, eq=False)
class Question:
    """A photo, and who shall say what it is.

    Attributes:
        recognizer: who.
        photo: the photo.
        unknown: as in ``Recognizer.answers``.
        false_alarm: as in ``Recognizer.answers``.
        coverage: as in ``Recognizer.answers``.
        answer: what will be known.
    """

    recognizer: Recognizer
    photo: NamedBytes
    unknown: str | None
    false_alarm: float
    coverage: float | None = None
    answer: "Future[Answer]" = field(default_factory=Future)

    @property
    def together(self) -> tuple[int, str | None, float, float | None]:
        """Questions for which this is the same can be answered at once."""
        return id(self.recognizer), self.unknown, self.false_alarm, self.coverage


class Batcher:
    """Answers questions in the order in which they come, up to ``batch`` at once.

    Args:
        batch: how many at once, at most.
        gather: seconds that the first one waits for others, if any are ``awaited``.
        most: questions that may wait.
    """

    def __init__(self, batch: int, gather: float, most: int) -> None:
        self.most = most
        self.batches = self.answered = 0
        self._awaited = 0
        self._inbox = Inbox("triptych-answers", self._answer, batch, gather, lambda: self._awaited > 0)

    def __len__(self) -> int:
        """How many questions wait."""
        return len(self._inbox)

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """While questions are on their way, those that are there wait for them a little."""
        self._awaited += 1
        try:
            yield
        finally:
            self._awaited -= 1

    def ask(self, questions: Sequence[Question]) -> None:
        """Put questions in the queue, all of them or none.

        Raises:
            Busy: there is no room for them, or the service is ending.
        """
        if not self._inbox.put(questions, self.most):
            why = "the service is ending" if self._inbox.ending else f"{len(self)} photos wait already"
            raise Busy(f"{why}; ask again in a moment")

    def stop(self) -> None:
        """Answer what waits, take nothing new, and end."""
        self._inbox.end()

    def _answer(self, batch: list[Question]) -> None:
        self.batches += 1
        groups: dict[tuple[int, str | None, float, float | None], list[Question]] = {}
        for question in batch:
            if question.answer.set_running_or_notify_cancel():  # else who asked has gone
                groups.setdefault(question.together, []).append(question)
        self.answered += sum(map(len, groups.values()))  # first: who has an answer finds it counted
        for group in groups.values():
            _answer(group)


def _answer(group: list[Question]) -> None:
    first = group[0]
    try:
        photos = [question.photo for question in group]
        with in_one_pass(_ON_CPU if first.recognizer.device == "cpu" else len(photos)):
            answers = list(first.recognizer.answers(photos, first.unknown, first.false_alarm, first.coverage))
    except Exception as error:  # who asked gets it; the thread goes on
        for question in group:
            question.answer.set_exception(error)
        return
    for question, answer in zip(group, answers, strict=True):
        question.answer.set_result(answer)
