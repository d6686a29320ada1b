"""Settings of the compiler that make programs faster on a CPU; without effect elsewhere."""

import importlib.metadata
import os

# XLA ends the process at a flag that it does not know, so each set belongs to the versions of jaxlib that it was
# measured with. Products and reductions by YNNPACK, convolutions not: at strides, without padding and at kernels of
# even size its convolutions take two to five times as long as XLA's own (docs/performance.md).
_FLAGS = {
    '0.10': {
        'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE'
    },
}


def set_flags() -> None:
    """Adds the flags to $XLA_FLAGS, except those that the user has set. To be called before JAX's first use."""
    version = '.'.join(importlib.metadata.version('jaxlib').split('.')[:2])
    given = os.environ.get('XLA_FLAGS', '')
    new = [f'--{name}={value}' for name, value in _FLAGS.get(version, {}).items() if name not in given]
    os.environ['XLA_FLAGS'] = ' '.join([given, *new]).strip()
