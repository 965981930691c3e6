"""What the service allows: each bound is an option of ``triptych serve``."""

from dataclasses import dataclass

from triptych.system.settings import check_settings, number, setting, whole

__all__ = ["LOOPBACK", "Settings"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_MANY = 10**9


@dataclass(frozen=True)
class Settings:
    """Bounds of the service.

    >>> from triptych.serve.settings import Settings
    >>> Settings(photos=0)
    Traceback (most recent call last):
    ValueError: photos must be a whole number from 1 to 1000000000, got 0
    """

    photo_megabytes: float = setting(25.0, "Of one uploaded photo, at most.", number(0, 2000, above=True))
    file_megabytes: float = setting(500.0, "Of an uploaded .triptych file, at most.", number(0, 20_000, above=True))
    photos: int = setting(1000, "Photos in one request that adds photos, at most.", whole(1, _MANY))
    questions: int = setting(64, "Photos in one request that asks what they are, at most.", whole(1, 10_000))
    shelf_photos: int = setting(20_000, "Photos on a shelf, at most.", whole(1, _MANY))
    shelf_classes: int = setting(1000, "Classes on a shelf, at most.", whole(1, _MANY))
    shelves: int = setting(1000, "Shelves, at most.", whole(1, _MANY))
    memory_megabytes: float = setting(512.0, "Of uploads in memory, all together, at most.", number(0, 1e6, above=True))
    queue: int = setting(256, "Photos that may wait for an answer; then the service is busy.", whole(1, _MANY))
    batch: int = setting(32, "Photos that are recognised together, at most.", whole(1, 4096))
    gather_milliseconds: float = setting(4.0, "How long a photo waits for others to join it.", number(0, 10_000))
    answer_seconds: float = setting(60.0, "After which a request that waits is told so.", number(0, 86_400, above=True))
    silence_seconds: float = setting(20.0, "After which a silent upload is ended.", number(0, 86_400, above=True))
    upload_seconds: float = setting(600.0, "After which any upload is ended.", number(0, 86_400, above=True))
    changes_per_second: float = setting(50.0, "Requests of a client that send something.", number(0, 1e6, above=True))
    reads_per_second: float = setting(500.0, "Requests of a client that only read.", number(0, 1e6, above=True))
    free_megabytes: float = setting(200.0, "That must stay free on the disk.", number(0, 1e9))

    def __post_init__(self) -> None:
        check_settings(self)
