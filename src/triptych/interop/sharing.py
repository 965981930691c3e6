"""Push and pull: a method as a .safetensors file with its card, in a folder or on the Hugging Face hub.

``hf:OWNER/NAME`` is the hub, as for data; anything else is a folder. Nothing is unpickled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from triptych.interop.places import BEST, HUB, METHOD_FILE, check_method
from triptych.methods import Method, method_to_bytes, read_method
from triptych.system.extras import extra
from triptych.system.files import as_path, write_whole
from triptych.system.hub import hub_or_cache
from triptych.system.kinds import CARD, METHOD
from triptych.system.outputs import check_output, check_own_folder
from triptych.system.wording import first_line

__all__ = ["CARD_FILE", "METHOD_FILE", "check_push", "method_file", "pull_method", "push_method"]

CARD_FILE = "README.md"


def push_method(
    method: Method, target: str | PathLike[str], card: str, overwrite: bool = False, private: bool = False
) -> str:
    """Write a method and its card to a folder, or upload them to the hub.

    Args:
        method: what is pushed, all its weights included.
        target: a folder, which is made if it is missing, or ``hf:OWNER/NAME``.
        card: of ``model_card``, or your own.
        overwrite: replace the method and the card that were pushed to the folder before; the hub keeps each version.
        private: of a new repository on the hub.

    Returns:
        Where they are now: the folder, or an address.

    Raises:
        ValueError: the folder holds other things of these names; or no such owner, or no right to write.
        OSError: it cannot be written, or the hub cannot be reached.
        RuntimeError: huggingface_hub is not installed.

    >>> import tempfile
    >>> from triptych.interop import model_card, pull_method, push_method
    >>> from triptych.methods import build_method
    >>> method = build_method("dn4-conv64f")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = push_method(method, f"{folder}/my-dn4", model_card(method, "my-dn4"))
    ...     pull_method(f"{folder}/my-dn4").config.pixel_k
    3
    """
    if str(target).startswith(HUB):
        return _upload(str(target).removeprefix(HUB), method_to_bytes(method), card.encode(), private)
    folder = as_path(target)
    check_push(folder, overwrite)
    folder.mkdir(exist_ok=True)
    write_whole(folder / METHOD_FILE, method_to_bytes(method))
    write_whole(folder / CARD_FILE, card.encode())
    return str(folder)


def check_push(target: str | PathLike[str], overwrite: bool = False) -> None:
    """Refuse a folder that must not be pushed to; the hub is not asked.

    Raises:
        ValueError: it is no folder, it holds other things, its parent is missing, or its files must not be replaced.
        OSError: it is not writable.
    """
    if str(target).startswith(HUB):
        return
    folder = as_path(target)
    if folder.is_dir() or (folder.parent.is_dir() and not folder.exists()):
        check_own_folder(folder, {METHOD_FILE: METHOD, CARD_FILE: CARD}, "a method and its card")
    else:
        raise ValueError(f"{folder}: expected a folder, or a new one in a folder that exists; hf:OWNER/NAME is the hub")
    if folder.is_dir():
        check_output(folder / METHOD_FILE, METHOD, overwrite=overwrite)
        check_output(folder / CARD_FILE, CARD, overwrite=overwrite)


def pull_method(source: str | PathLike[str]) -> Method:
    """A method that was pushed to a folder or to the hub, in evaluation mode.

    Args:
        source: the folder, or ``hf:OWNER/NAME``. A method of the hub's cache needs no network.

    Raises:
        ValueError: there is no such folder or repository, it holds no method, or the file is damaged.
        OSError: the hub cannot be reached, and the method is not in its cache.
        RuntimeError: huggingface_hub is not installed.
    """
    if str(source).startswith(HUB):
        check_method(source)
        return read_method(_download(str(source).removeprefix(HUB)))
    return read_method(method_file(as_path(source)))


def method_file(folder: Path) -> Path:
    """The method's file in a folder of a run, or in one that was pushed to.

    Raises:
        ValueError: it holds none.

    >>> from pathlib import Path
    >>> from triptych.interop.sharing import method_file
    >>> method_file(Path("/proc"))
    Traceback (most recent call last):
    ValueError: /proc: expected a folder with best.safetensors (of a run) or method.safetensors (pushed)
    """
    for name in (BEST, METHOD_FILE):
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder}: expected a folder with {BEST} (of a run) or {METHOD_FILE} (pushed)")


def _upload(name: str, method: bytes, card: bytes, private: bool) -> str:
    with extra("hub", "the Hugging Face hub needs huggingface_hub"):
        from huggingface_hub import CommitOperationAdd, HfApi
    with hub_or_cache() as answered:
        if not answered:
            raise OSError(f"hf:{name}: the Hugging Face hub cannot be reached; push to a folder, or try again")
        with _explained(name):
            api = HfApi()
            api.create_repo(name, private=private, exist_ok=True)
            files = [
                CommitOperationAdd(METHOD_FILE, method),
                CommitOperationAdd(CARD_FILE, card),
            ]
            commit = api.create_commit(name, files, commit_message="Method and card.")
            return commit.repo_url.url


def _download(name: str) -> Path:
    with extra("hub", "the Hugging Face hub needs huggingface_hub"):
        from huggingface_hub import hf_hub_download
    with hub_or_cache(), _explained(name):
        return Path(hf_hub_download(name, METHOD_FILE))


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the hub's client raises into one line that says what to do."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        yield
    except LocalEntryNotFoundError as error:
        raise OSError(f"hf:{name}: not in the hub's cache, and the Hugging Face hub cannot be reached") from error
    except EntryNotFoundError as error:
        raise ValueError(f"hf:{name}: holds no {METHOD_FILE}; expected what triptych push wrote") from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"hf:{name}: no such repository, or it is not yours to read; log in with: hf auth login"
        ) from error
    except HFValidationError as error:
        raise ValueError(f"hf:{name}: no name of a repository; expected hf:OWNER/NAME") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ValueError(f"hf:{name}: not yours to write; log in with: hf auth login") from error
        raise OSError(f"hf:{name}: the Hugging Face hub refused (status {status}); try again") from error
    except (ValueError, OSError, RuntimeError):
        raise
    except Exception as error:  # a connection that breaks is of several kinds
        raise OSError(
            f"hf:{name}: the connection broke ({type(error).__name__}: {first_line(error):.200}); try again"
        ) from error
