"""Trained weights, their model cards, and which of them is used unless told otherwise."""

__all__ = ["DEFAULT"]

DEFAULT = "mml-efficientnet-lite0"
