"""A batch of noise with the fields that a method asks for."""

from typing import Any

import numpy as np

DOMAINS = 2


def random_batch(method: Any, batch: int, size: int) -> dict[str, np.ndarray]:
    """Returns `batch` samples of `size` px, as the pipeline would deliver them."""
    random, made = np.random.default_rng(0), {}
    for field in method.batch_fields:
        if field.endswith('domain'):
            made[field] = random.integers(0, DOMAINS, batch).astype(np.int32)
        elif field.startswith('latent'):
            made[field] = random.normal(size=(batch, method.latent_size)).astype(np.float32)
        else:
            made[field] = random.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    return made
