"""Small randomly initialised models of the transformers library, as its users save them."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

SIDE = 64
_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_PATCHES = {**_VIT, "image_size": SIDE, "patch_size": 16}
_STAGES = {"hidden_sizes": [8, 32], "depths": [1, 1]}
_WINDOWS = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "image_size": SIDE}
_DINO = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 16}

# type -> settings that keep it tiny, and how many pixels of the image one position of the map stands for
TINY: dict[str, tuple[dict[str, Any], int]] = {
    "aimv2_vision_model": (_PATCHES, 16),
    "beit": ({**_PATCHES, "use_absolute_position_embeddings": True}, 16),
    "bit": ({**_STAGES, "embedding_size": 8, "num_groups": 4}, 8),
    "chinese_clip_vision_model": (_PATCHES, 16),
    "clip_vision_model": (_PATCHES, 16),
    "convnext": (_STAGES | {"num_stages": 2}, 8),
    "convnextv2": (_STAGES | {"num_stages": 2}, 8),
    "data2vec-vision": ({**_PATCHES, "use_absolute_position_embeddings": True}, 16),
    "deit": (_PATCHES, 16),
    "dinov2": (_DINO, 16),
    "dinov2_with_registers": (_DINO | {"num_register_tokens": 4}, 16),
    "dinov3_convnext": ({"hidden_sizes": [8, 8, 16, 32], "depths": [1, 1, 1, 1], "image_size": SIDE}, 32),
    "dinov3_vit": (_PATCHES | {"num_register_tokens": 4}, 16),
    "focalnet": (
        {"embed_dim": 16, "depths": [1, 1], "focal_levels": [2, 2], "focal_windows": [3, 3], "image_size": SIDE},
        8,
    ),
    "hiera": ({"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "image_size": [128, 128]}, 32),
    "ijepa": (_PATCHES, 16),
    "mobilenet_v1": ({"depth_multiplier": 0.25}, 32),
    "mobilenet_v2": ({"depth_multiplier": 0.35}, 32),
    "poolformer": ({"hidden_sizes": [8, 8, 16, 32], "depths": [1, 1, 1, 1]}, 32),
    "pvt_v2": (
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 2]},
        32,
    ),
    "regnet": (_STAGES | {"embedding_size": 8, "groups_width": 8}, 8),
    "resnet": (_STAGES | {"embedding_size": 8}, 8),
    "segformer": ({"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}, 32),
    "siglip_vision_model": (_PATCHES, 16),
    "swiftformer": ({"embed_dims": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}, 32),
    "swin": (_WINDOWS, 8),
    "swinv2": (_WINDOWS, 8),
    "vit": (_PATCHES, 16),
    "vit_msn": (_PATCHES, 16),
}
PROCESSOR = {
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "size": {"shortest_edge": 73},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3],
}


def tiny_model(family: str) -> Any:
    """A model of the family with random weights."""
    torch.manual_seed(0)
    config = transformers.CONFIG_MAPPING[family](**TINY[family][0])
    return transformers.AutoModel.from_config(config).eval()


def side_of(family: str) -> int:
    size = TINY[family][0].get("image_size", SIDE)
    return size[0] if isinstance(size, list) else size


def save_model(folder: Path, family: str = "dinov2", **processor: Any) -> Path:
    """A folder with a tiny model and its processor's configuration, as published models are."""
    tiny_model(family).save_pretrained(folder)
    side = side_of(family)
    content = PROCESSOR | {"crop_size": {"height": side, "width": side}} | processor
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder
