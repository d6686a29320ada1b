"""A page of translated images with their scores: one HTML file, nothing beside it."""

import base64
import html
import io
import json
from typing import Any

import numpy as np
import PIL.Image

from gan_transfer import storage
from gan_transfer.evaluation import measures
from gan_transfer.evaluation.outputs import Translated

COLUMNS = ('source', 'target', 'output', 'truth')
SHOWN_PIXELS = 96  # of an image on the page, at least: smaller ones are magnified there


class Gallery:
    """Collects images while an evaluation goes on, the first so many of each direction of each protocol."""

    def __init__(self, domains: tuple[str, ...], limit: int):
        """Args: the domains' names; how many images of each direction are shown."""
        self._domains, self._limit = domains, limit
        self._entries: list[dict[str, Any]] = []
        self._seen: dict[tuple[str, int, int], int] = {}

    def watch(
        self, protocol: str, source: int, target: int, batch: Translated, values: measures.Values
    ) -> None:
        """Takes the first output of each source of a batch."""
        for row in range(batch.count):
            place = protocol, source, target
            if self._seen.get(place, 0) >= self._limit:
                return
            self._seen[place] = self._seen.get(place, 0) + 1
            images = {
                'source': batch.sources[row],
                'target': batch.targets[0][row] if batch.targets else None,
                'output': batch.outputs[0][row],
                'truth': batch.truths[0][row] if batch.truths else None,
            }
            self._entries.append(
                {
                    'group': f'{protocol}: {self._domains[source]} → {self._domains[target]}',
                    'images': {name: _to_uri(image) for name, image in images.items() if image is not None},
                    'scores': {name: round(float(value[row]), 5) for name, value in values.items()},
                }
            )

    def write(self, path: storage.Path, title: str) -> None:
        """Writes the page."""
        names = sorted({name for entry in self._entries for name in entry['scores']})
        titles = {name: measures.measure(name).title for name in names}
        script = json.dumps({'entries': self._entries, 'titles': titles, 'columns': COLUMNS})
        # A script ends at its first closing tag, wherever that stands.
        page = _PAGE.replace('TITLE', html.escape(title)).replace('PIXELS', str(SHOWN_PIXELS))
        storage.write(path, page.replace('DATA', script.replace('</', '<\\/')).encode())


def _to_uri(image: np.ndarray) -> str:
    data = io.BytesIO()
    PIL.Image.fromarray(image).save(data, 'PNG', optimize=True)
    return f'data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}'


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>TITLE</title>
<style>
  body { font: 14px system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff }
  h1 { font-size: 1.2em }
  select { font: inherit; margin-right: 1.5em }
  #grid { display: flex; flex-wrap: wrap; gap: 1.2em; margin-top: 1em }
  figure { width: min-content; margin: 0; padding: .5em; border: 1px solid #ddd; border-radius: 6px }
  .row { display: flex; gap: 4px }
  .row div { text-align: center; font-size: 12px; color: #666 }
  img { min-width: PIXELSpx; image-rendering: pixelated; display: block }
  figcaption { font-size: 12px; margin-top: .4em }
</style>
<h1>TITLE</h1>
<label>direction <select id="group"></select></label>
<label>sorted by <select id="score"></select></label>
<label>order <select id="order"><option value="1">rising</option><option value="-1">falling</option></select></label>
<div id="grid"></div>
<script>
const data = DATA;
const byId = name => document.getElementById(name);
const option = (value, text) => Object.assign(document.createElement('option'), {value, textContent: text});
for (const group of new Set(data.entries.map(entry => entry.group))) byId('group').append(option(group, group));
function show() {
  const group = byId('group').value, score = byId('score').value, sign = Number(byId('order').value);
  const shown = data.entries.filter(entry => entry.group === group);
  if (score) shown.sort((a, b) => sign * (a.scores[score] - b.scores[score]));
  byId('grid').replaceChildren(...shown.map(entry => {
    const figure = document.createElement('figure'), row = document.createElement('div');
    row.className = 'row';
    for (const name of data.columns.filter(name => entry.images[name])) {
      const cell = document.createElement('div'), image = document.createElement('img');
      image.src = entry.images[name]; image.alt = name;
      cell.append(image, name); row.append(cell);
    }
    const caption = document.createElement('figcaption');
    caption.textContent = Object.entries(entry.scores)
      .map(([name, value]) => `${data.titles[name]} ${value.toPrecision(3)}`).join(' · ');
    figure.append(row, caption);
    return figure;
  }));
}
function choose() {
  const entry = data.entries.find(entry => entry.group === byId('group').value);
  byId('score').replaceChildren(option('', 'test set'),
    ...Object.keys(entry ? entry.scores : {}).map(name => option(name, data.titles[name])));
  show();
}
byId('group').onchange = choose;
byId('score').onchange = byId('order').onchange = show;
choose();
</script>
</html>
"""
