"""Settings of the compilers: for CPUs what makes programs faster, for TPUs one exchange of gradients in a phase."""

import importlib.metadata
import os

_FLAGS = {
    # On CPUs: products and reductions by YNNPACK, convolutions not: at strides, without padding and at kernels of even
    # size its convolutions take two to five times as long as XLA's own (docs/performance.md).
    'XLA_FLAGS': {
        'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE'
    },
    # Read by libtpu alone: gradients of a phase that are larger than its own limit would be two exchanges.
    'LIBTPU_INIT_ARGS': {'xla_jf_crs_combiner_threshold_in_bytes': str(2**30)},
}
# Of jaxlib, that the flags were tried with: XLA ends the process at a flag that it does not know.
_VERSIONS = ('0.10', '0.11')


def set_flags() -> None:
    """Adds the flags to the environment, except those that the user has set. To be called before JAX's first use."""
    version = '.'.join(importlib.metadata.version('jaxlib').split('.')[:2])
    for variable, flags in _FLAGS.items() if version in _VERSIONS else ():
        given = os.environ.get(variable, '')
        if given and not given.lstrip().startswith('-'):
            continue  # the name of a file with flags, to which XLA takes none besides
        new = [f'--{name}={value}' for name, value in flags.items() if name not in given]
        os.environ[variable] = ' '.join([given, *new]).strip()
