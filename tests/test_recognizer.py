import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import recognizer
from gan_transfer.data import pets
from gan_transfer.networks.recognizer import cut_out

pytestmark = pytest.mark.xdist_group('recognizer')
# What the docstring of the recognizer says of its weights, less what the few images here may differ by.
EXPECTED = {
    'expression': 0.96,
    'gaze': 0.95,
    'background': 0.98,
    'species': 0.98,
    'pattern': 0.96,
    'ears': 0.96,
    'outline': 0.95,
    'x': 0.96,
    'y': 0.95,
    'size': 0.95,
    'tilt': 0.90,
    'fur': 0.88,
    'second': 0.94,
}


@pytest.fixture(scope='module')
def predict():
    return recognizer.load()


@pytest.fixture(scope='module')
def held_out():
    return recognizer.held_out(256)


def test_held_out_pets_are_read(predict, held_out):
    images, truths = held_out
    shares = recognizer.accuracy(predict(images), truths)
    assert shares.keys() == EXPECTED.keys() == truths[0].keys()
    assert not {name: share for name, share in shares.items() if share < EXPECTED[name]}


def test_images_of_another_size_are_read(predict, held_out):
    _, truths = held_out
    keys = [key for key in pets.keys(1000) if recognizer.is_test(key)][:32]
    large = np.stack([pets.truth(key, key, pets.DOMAINS[i % 3], 128) for i, key in enumerate(keys)])
    shares = recognizer.accuracy(predict(large), truths[:32])
    assert np.mean(list(shares.values())) > 0.9


def test_what_a_style_transfer_does_is_told_apart(predict, held_out):
    """The truth of a transfer has the source's content and the target's style; the source itself only the content."""
    images, _ = held_out
    count = 64
    keys = [key for key in pets.keys(2560) if recognizer.is_test(key)][:count]
    domain = 'rabbit'
    answers = np.stack([pets.truth(a, b, domain, 64) for a, b in zip(keys, keys[::-1], strict=True)])
    wanted = [
        {**vars(pets.content(a)), **vars(pets.style(b, domain))}
        for a, b in zip(keys, keys[::-1], strict=True)
    ]
    of_truth = recognizer.accuracy(predict(answers), wanted)
    of_source = recognizer.accuracy(predict(images[:count]), wanted)
    assert min(of_truth.values()) > 0.8
    for name in ('expression', 'background', 'tilt'):
        assert of_source[name] > 0.8
    for name in ('species', 'pattern', 'fur'):
        assert of_source[name] < 0.5


@pytest.mark.parametrize('place', [(0.1, 0.02, 0.7, 24.0), (-0.1, 0.1, 0.9, -15.0), (0.0, 0.15, 1.0, 0.0)])
def test_a_head_is_cut_out_the_same_wherever_it_is(place):
    style = pets.style('000001', 'cat')
    faces = []
    for x, y, size, tilt in ((0.0, 0.08, 0.85, 0.0), place):
        content = pets.Content(x, y, size, tilt, 'happy', 'left', 'yellow')
        labels = recognizer._labels([{**vars(content), **vars(style)}])
        image = pets.draw(content, style, 64)[None]
        faces.append(np.asarray(cut_out(jnp.float32(image), recognizer._windows(labels)))[0, 14:38, 12:36])
    assert abs(faces[0] - faces[1]).mean() < 0.6 * abs(faces[0] - faces[1][:, ::-1]).mean()


@pytest.mark.parametrize(
    ('name', 'predicted', 'true', 'expected'),
    [
        ('species', 'cat', 'cat', True),
        ('species', 'cat', 'dog', False),
        ('x', 0.02, -0.005, True),
        ('x', 0.05, 0.01, False),
        ('tilt', -20.0, -25.0, True),
        ('tilt', 20.0, -20.0, False),
        ('fur', '#102030', '#203040', True),
        ('fur', '#102030', '#404040', False),
    ],
)
def test_what_counts_as_correct(name, predicted, true, expected):
    assert recognizer.correct(name, predicted, true) is expected


def test_the_weights_are_small_and_16_bit():
    assert recognizer.WEIGHTS.stat().st_size < 500_000
    with np.load(recognizer.WEIGHTS) as file:
        assert {file[name].dtype for name in file.files} == {np.dtype(np.float16)}


def test_training_drawings_are_in_no_data_set(monkeypatch):
    drawn = []
    real = pets.truth
    monkeypatch.setattr(pets, 'truth', lambda *arguments: drawn.append(arguments[0]) or real(*arguments))
    recognizer._drawings(3)
    assert len(drawn) == 3
    assert not any(key.isdigit() for key in drawn)


def test_a_step_of_training_moves_every_parameter():
    before, after = (recognizer.train(count=32, steps=steps, seed=0) for steps in (1, 2))
    for (path, a), b in zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True):
        assert np.isfinite(b).all(), path
        assert (a != b).any(), path


def test_output_is_asked_for():
    done = subprocess.run(
        [sys.executable, '-m', 'gan_transfer.recognizer'], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert '--output' in done.stderr
