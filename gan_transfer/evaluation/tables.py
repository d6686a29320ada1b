"""Results as tables on the terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

import rich.table

from gan_transfer.evaluation import measures
from gan_transfer.evaluation.protocols import PROTOCOLS
from gan_transfer.terminal import make_console

BETTER = '* better than the untouched source'


def print_results(results: dict[str, Any], label: str) -> None:
    """Prints a table for each protocol.

    Args:
      results: protocol -> results, of an `Evaluator` or of two folders.
      label: what was evaluated: 'final checkpoint, after 20000 images'.
    """
    console = make_console()
    console.width = max(console.width, 180)
    for name, result in results.items():
        rows = result.get('directions', [result])
        shown = [key for key in PROTOCOLS[name].shown if key in rows[0]['translated']]
        table = rich.table.Table(title=f'{name}: {label}', title_justify='left')
        table.add_column('direction', no_wrap=True)
        for key in shown:
            table.add_column(measures.measure(key).title, justify='right', no_wrap=True)
        for row in rows:
            direction = f'{row["source"]} -> {row["target"]}' if 'source' in row else 'generated, real'
            table.add_row(direction, *(_cell(row, key) for key in shown))
        console.print(table)
        console.print(_legend(rows, shown, result))


def _cell(row: dict[str, Any], key: str) -> str:
    value, source = row['translated'][key], row.get('untouched_source', {}).get(key)
    text = f'{value:.3g}{_reach(value, row["intervals"]["translated"].get(key))}'
    sides = (row.get(side, {}).get(key) for side in ('one_output', 'untouched_source', 'floor'))
    text += _in_brackets(sides)
    better = source is not None and measures.closer(key, measures.comparable(row, key), source)
    return text + (' *' if better else '  ')


def _in_brackets(values: Iterable[float | None]) -> str:
    """Returns those that are known, in brackets; nothing where none is."""
    known = '; '.join(f'{value:.3g}' for value in values if value is not None)
    return f' ({known})' if known else ''


def _reach(value: float, interval: tuple[float, float] | None) -> str:
    """Returns how far an interval reaches: one number where it is even, its ends else, nothing where none is known."""
    if interval is None:
        return ''
    below, above = value - interval[0], interval[1] - value
    if abs(above - below) <= 0.1 * (above + below):
        return f' ±{(above + below) / 2:.2g}'
    return f' [{interval[0]:.3g}, {interval[1]:.3g}]'


def _legend(rows: list[dict[str, Any]], shown: list[str], result: dict[str, Any]) -> str:
    """Says what stands in the cells, and in how many directions a translation is better than its source."""
    with_floor = any(key in row.get('floor', {}) for row in rows for key in shown)
    brackets = [
        'one output of each source' if 'one_output' in rows[0] else '',
        'the untouched source' if 'untouched_source' in rows[0] else '',
        'the floor: real against other real images' if with_floor else '',
    ]
    text = '±: half of a 95 % interval; [ends of it] where it is not even'
    if any(brackets):
        text += f'; in brackets {"; ".join(filter(None, brackets))}'
    uneven = sorted(
        {
            row['images']['floor']
            for row in rows
            if 'count' in row and row.get('images', {}).get('floor', row['count']) != row['count']
        }
    )
    if with_floor and uneven:
        text += f'; the floor is of {", ".join(map(str, uneven))} images, as there are no more'
    closer = result.get('directions_closer_than_the_source')
    if closer:
        counts = ', '.join(
            f'{measures.measure(key).title.split(",")[0]} {closer[key]}' for key in shown if key in closer
        )
        text += f'\n{BETTER}; directions of {closer["of"]}: {counts}'
    elif 'untouched_source' in rows[0]:
        text += f'\n{BETTER}'
    return '\n'.join([text, *(result[key] for key in ('meaning', 'trained_on') if key in result)])


def print_comparison(rows: Sequence[dict[str, Any]], file_name: str) -> None:
    """Prints a table for each protocol, a section for each direction.

    Args:
      rows: one for each config, as `compare.summarize` makes them.
      file_name: where all values are.
    """
    console = make_console()
    console.width = 1000  # no cell is cut short
    for name in dict.fromkeys(name for row in rows for name in row['protocols']):
        if name not in PROTOCOLS:
            print(f'{name}: no protocol of this version; its values are in {file_name}')
            continue
        entries = [
            ((found['source'], found['target']), row, found)
            for row in rows
            for found in row['protocols'].get(name, ())
        ]
        shown = [
            key for key in PROTOCOLS[name].shown if any(key in found['measures'] for *_, found in entries)
        ]
        table = rich.table.Table(title=f'{name}: final checkpoints', title_justify='left')
        for title in ('direction', 'config'):
            table.add_column(title, no_wrap=True)
        for title in ('seeds', *(measures.measure(key).title for key in shown)):
            table.add_column(title, justify='right', no_wrap=True)
        for direction in dict.fromkeys(direction for direction, *_ in entries):
            table.add_section()
            for there, row, found in entries:
                if there == direction:
                    seeds = ', '.join(map(str, found['seeds']))
                    cells = (_cell_over_seeds(found['measures'].get(key)) for key in shown)
                    table.add_row(' -> '.join(direction), _label(row), seeds, *cells)
        console.print(table)
    print(
        'mean ± standard deviation over seeds; in brackets (one output of each source;) the untouched source'
    )


def _label(row: dict[str, Any]) -> str:
    """Returns the method, and line by line what of its config is its own, as the command line takes it."""

    def text(value: Any) -> str:
        return ','.join(map(str, value)) if isinstance(value, list) else str(value)

    return '\n'.join([row['method'], *(f'{key}={text(value)}' for key, value in row['config'].items())])


def _cell_over_seeds(found: dict[str, Any] | None) -> str:
    if found is None:
        return ''
    spread = '' if found['deviation'] is None else f' ±{found["deviation"]:.2g}'
    return f'{found["mean"]:.3g}{spread}' + _in_brackets(
        found.get(side) for side in ('one_output', 'untouched_source')
    )
