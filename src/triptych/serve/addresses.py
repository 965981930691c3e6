"""What a client is told of a service: its address and its token."""

from urllib.parse import urlsplit

__all__ = ["address_parts", "plain_token"]


def address_parts(address: str) -> tuple[bool, str, int | None, str]:
    """Whether a service is asked over TLS, and its host, port and path.

    Raises:
        ValueError: it is no address of a service.

    >>> from triptych.serve.addresses import address_parts
    >>> address_parts("https://photos.example/triptych/")
    (True, 'photos.example', None, '/triptych')
    """
    if isinstance(address, str) and "@" in address:  # it may hold a password, and is not told
        raise ValueError(
            "what has a user is no address of a service; expected such as http://127.0.0.1:8000, and a token"
        )
    try:
        parts = urlsplit(address)
        fits = isinstance(address, str) and parts.scheme in {"http", "https"} and parts.hostname
        port = parts.port
    except (ValueError, AttributeError, TypeError):  # no text, no port, or half an address of IPv6
        fits = None
    if not fits:
        raise ValueError(f"{address!r:.80} is no address of a service; expected such as http://127.0.0.1:8000")
    if parts.query:
        raise ValueError("what has a query is no address of a service; expected such as http://127.0.0.1:8000")
    return parts.scheme == "https", str(parts.hostname), port, parts.path.rstrip("/")


def plain_token(token: str) -> str:
    """A token without spaces and line ends around it. Messages do not tell it.

    Raises:
        ValueError: a header cannot hold it.

    >>> from triptych.serve.addresses import plain_token
    >>> plain_token("quite a secret\\n")
    'quite a secret'
    """
    if not isinstance(token, str):
        raise ValueError(f"expected a text for the token, got {type(token).__name__}")
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise ValueError("the token has other characters than plain ones; expected the service's token")
    return token
