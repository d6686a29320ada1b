"""A report of a compiled step as lines on the terminal."""

from typing import Any

from gan_transfer.compile.chips import GIB

SHOWN_KINDS = 4
LARGE = 1e6  # bytes of a collective that is named by itself


def summary(report: dict[str, Any]) -> str:
    """Returns the report of `compile_step` as text, and says what its numbers are."""
    lines = [_asked(report)]
    if 'refused' in report:
        return '\n'.join([*lines, f'memory      does not fit: {report["refused"]}'])
    lines += [_memory(report), _work(report), *_traffic(report), *_exchange(report), _roofline(report)]
    return '\n'.join(filter(None, lines))


def _asked(report: dict[str, Any]) -> str:
    mesh = {name: count for name, count in report['mesh'].items() if count > 1}
    parts = report['mesh']['data'] * report['mesh']['fsdp']
    shared = f' to {report["devices"] // parts}' if report['devices'] > parts else ' each'
    layout = (
        '' if set(mesh) <= {'data'} else f', {" x ".join(f"{name} {count}" for name, count in mesh.items())}'
    )
    return (
        f'{report["method"]}, {report["image_size"]} px, {report["parameters"] / 1e6:.1f} M parameters, '
        f'{report["compute_dtype"]}: {report["devices"]} x {report["device_kind"]} ({report["topology"]}{layout}), '
        f'{report["batch_per_device"]} images{shared}, {report["batch_size"]} a step'
    )


def _memory(report: dict[str, Any]) -> str:
    memory, whole = report['memory'], report['memory']['device_bytes']
    text = f'memory      {size(memory["peak_bytes"])}, program {size(memory["program_bytes"])}'
    if whole is None:
        return f'{text}; what the device has is not known'
    return f'{text}, of {size(whole)}: {"fits" if report["fits"] else "does not fit"}'


def _work(report: dict[str, Any]) -> str:
    if report['flops'] is None:
        return 'work        this compiler does not count it'
    loops = f'; what is in the {report["loops"]} loops is counted once' if report['loops'] else ''
    if report.get('branches'):
        loops += f'; {report["branches"]} branches are counted as taken: a step with penalties'
    own = '' if report['counted_by'] == 'compiler' else ', counted without the compiler: convolutions only'
    return f'work        {report["flops"] / 1e12:.3g} TFLOP, {report["bytes"] / 1e9:.3g} GB moved{own}{loops}'


def _traffic(report: dict[str, Any]) -> list[str]:
    kinds = list(report['traffic'].items())[:SHOWN_KINDS]
    return [
        f'  {kind:20} {one["count"]:5} x, {one["padded_bytes"] / 1e9:7.3f} GB, without padding {one["bytes"] / 1e9:.3f}'
        for kind, one in kinds
    ]


def size(count: float) -> str:
    """Returns a number of bytes in MiB or GiB."""
    return f'{count / GIB:.2f} GiB' if count >= GIB / 10 else f'{count / 2**20:.2f} MiB'


def _exchange(report: dict[str, Any]) -> list[str]:
    large = [one for one in report['collectives'] if one['bytes'] >= LARGE]
    small = [one for one in report['collectives'] if one['bytes'] < LARGE]
    lines = [
        f'exchange    {one["count"]} {one["opcode"]} of {one["bytes"] / 1e6:.1f} MB {"+".join(one["dtypes"])} '
        f'between {one["group"]}'
        for one in large
    ]
    if small:
        moved = sum(one['count'] * one['bytes'] for one in small)
        lines.append(
            f'exchange    {sum(one["count"] for one in small)} smaller, {moved / 1e6:.3f} MB together'
        )
    return lines or ['exchange    none']


def _roofline(report: dict[str, Any]) -> str:
    line = report['roofline']
    if line is None:
        return ''
    milliseconds = {name: 1e3 * line[f'{name}_seconds'] for name in ('compute', 'memory', 'exchange', 'step')}
    return (
        f'roofline    compute {milliseconds["compute"]:.1f} ms, memory {milliseconds["memory"]:.1f} ms, exchange '
        f'{milliseconds["exchange"]:.2f} ms: a step of {milliseconds["step"]:.1f} ms, '
        f'{line["images_per_second"]:.0f} images/s, {line["weak_scaling_efficiency"]:.1%} of one device alone\n'
        "nothing was run: these are the compiler's counts and the vendor's speeds, an exchange's by its bytes alone"
    )
