"""Errors as problem documents (RFC 9457): what a person reads, and a type that a program can tell apart."""

import errno
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from triptych.data import ImageError, NotAnImageError
from triptych.serve.changes import ChangedMeanwhile
from triptych.serve.index import Missing

__all__ = ["Problem", "problem_of", "response"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS}


class Problem(Exception):  # noqa: N818 (RFC 9457 calls it so)
    """A request that cannot be fulfilled.

    Args:
        status: of HTTP.
        kind: tells problems of one status apart.
        detail: what was expected, what came, and how to mend it.
        headers: of the response.
    """

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.headers, self.more = status, kind, detail, dict(headers or {}), more

    def content(self) -> dict[str, Any]:
        """The document.

        >>> from triptych.serve.problems import Problem
        >>> Problem(404, "missing", "no such shelf").content()["title"]
        'Not Found'
        """
        return {
            "type": f"urn:triptych:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }


def problem_of(error: Exception) -> Problem:
    """What an error of the rooms below is to a client; what nobody foresaw says nothing of the inside."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Missing):
        return Problem(404, "missing", str(error))
    if isinstance(error, ChangedMeanwhile):
        return Problem(412, "changed-meanwhile", str(error))
    if isinstance(error, NotAnImageError):
        return Problem(415, "not-an-image", str(error))
    if isinstance(error, ImageError):
        return Problem(422, "unreadable-photo", str(error))
    if isinstance(error, ValueError):
        return Problem(422, "not-possible", str(error))
    if _number(error) in _FULL:
        return Problem(507, "disk-full", "the disk is full; nothing was changed; make room and try again")
    if _number(error) in _GONE:
        told = "the folder of the shelf is gone, or cannot be written; nothing was changed; put it back, or start anew"
        return Problem(507, "folder-gone", told)
    return Problem(500, "internal", "the service failed; its log says why")


def _number(error: Exception) -> int | None:
    """What the system called it; an error in our words has it in its cause."""
    own = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return own.errno if isinstance(own, OSError) else None


def response(problem: Problem) -> JSONResponse:
    """A problem as a response."""
    return JSONResponse(
        problem.content(), problem.status, headers=problem.headers, media_type="application/problem+json"
    )
