"""``python -m triptych``, and so ``torchrun -m triptych``."""

from triptych.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
