"""Embedded weights (safetensors) and their model cards."""
