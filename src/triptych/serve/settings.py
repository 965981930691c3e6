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

    photo_megabytes: float = setting(25.0, "Largest uploaded photo, in MB.", number(0, 2000, above=True))
    file_megabytes: float = setting(500.0, "Largest uploaded .triptych file, in MB.", number(0, 20_000, above=True))
    photos: int = setting(1000, "Most photos in one request that adds photos.", whole(1, _MANY))
    questions: int = setting(64, "Most photos in one request that asks what they are.", whole(1, 10_000))
    shelf_photos: int = setting(20_000, "Most photos on a shelf.", whole(1, _MANY))
    shelf_classes: int = setting(1000, "Most classes on a shelf.", whole(1, _MANY))
    shelves: int = setting(1000, "Most shelves.", whole(1, _MANY))
    memory_megabytes: float = setting(512.0, "Most memory for all uploads together, in MB.", number(0, 1e6, above=True))
    queue: int = setting(256, "Most photos that wait for an answer; with more the service is busy.", whole(1, _MANY))
    batch: int = setting(32, "Most photos that are recognised together.", whole(1, 4096))
    gather_milliseconds: float = setting(4.0, "Longest wait of a photo for others, in milliseconds.", number(0, 10_000))
    answer_seconds: float = setting(60.0, "Longest wait for an answer, in seconds.", number(0, 86_400, above=True))
    silence_seconds: float = setting(20.0, "Longest silence of an upload, in seconds.", number(0, 86_400, above=True))
    connections: int = setting(1000, "Most connections; with more the longest silent one is closed.", whole(1, _MANY))
    head_kilobytes: float = setting(16.0, "Longest head of a request, in kB.", number(0, 1000, above=True))
    head_seconds: float = setting(
        10.0, "Longest wait for the head of a request, in seconds.", number(0, 86_400, above=True)
    )
    idle_seconds: float = setting(
        10.0, "Longest silence between two requests, in seconds.", number(0, 86_400, above=True)
    )
    upload_seconds: float = setting(600.0, "Longest upload, in seconds.", number(0, 86_400, above=True))
    changes_per_second: float = setting(50.0, "Most changes of a client, per second.", number(0, 1e6, above=True))
    reads_per_second: float = setting(500.0, "Most reads of a client, per second.", number(0, 1e6, above=True))
    free_megabytes: float = setting(200.0, "Disk space to keep free, in MB.", number(0, 1e9))

    def __post_init__(self) -> None:
        check_settings(self)
