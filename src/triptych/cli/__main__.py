"""``python -m triptych.cli``."""

from triptych.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
