"""Agreement of a classifier, and retrieval, on cases whose answers are known."""

import numpy as np
import pytest

from gan_transfer.metrics import semantics

RNG = np.random.default_rng(0)


def test_agreement_of_equal_and_of_opposite_answers():
    logits = RNG.normal(size=(20, 30)).astype(np.float32)
    same = semantics.agreement(logits, 2 * logits + 7)  # surer, and by a constant that says nothing
    assert (same.count, same.top_1, same.top_5) == (20, 1, 1)
    assert 0.5 < same.cosine < 1
    np.testing.assert_allclose(semantics.agreement(logits, logits + 1000).cosine, 1)
    opposite = semantics.agreement(logits, -logits)
    assert (opposite.top_1, opposite.top_5) == (0, 0)
    assert opposite.cosine < same.cosine


def test_agreement_counts_classes_image_by_image():
    before, after = np.zeros((2, 10)), np.zeros((2, 10))
    before[:, :5] = [5, 4, 3, 2, 1]
    after[0, [0, 9, 8, 2, 7]] = [5, 4, 3, 2, 1]  # the same first; two of five in common
    after[1, [1, 0, 2, 3, 4]] = [5, 4, 3, 2, 1]  # the same five, another first
    found = semantics.agreement(before, after)
    assert (found.count, found.top_1, found.top_5) == (2, 0.5, 0.7)
    p, q = np.exp(before), np.exp(after)
    expected = (p * q).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(q, axis=1)
    np.testing.assert_allclose(found.cosine, expected.mean())


@pytest.mark.parametrize('shape', [(0, 10), (2, 5)])
def test_agreement_refuses_what_it_cannot_compare(shape):
    with pytest.raises(ValueError, match='more than 5 classes'):
        semantics.agreement(np.zeros(shape), np.zeros(shape))


def test_retrieval_finds_a_permutation_whatever_the_length_of_features():
    candidates = RNG.normal(size=(40, 16))
    rows = RNG.permutation(40)[:25]
    outputs = candidates[rows] * RNG.uniform(0.1, 10, (25, 1))
    assert semantics.retrieval(outputs, candidates, rows) == (25, 40, 1, 1)
    assert semantics.retrieval(outputs, candidates, (rows + 1) % 40).top_1 == 0


def test_retrieval_counts_the_first_five():
    """Candidates on a quarter of a circle, the output at its start: they come in order."""
    angles = np.linspace(0, np.pi / 2, 8)
    candidates = np.stack([np.cos(angles), np.sin(angles)], 1)
    outputs = np.tile(candidates[:1], (4, 1))
    found = semantics.retrieval(outputs, candidates, np.array([0, 1, 4, 5]))
    assert (found.top_1, found.top_5) == (0.25, 0.75)


def test_retrieval_of_noise_is_chance():
    outputs, candidates = RNG.normal(size=(2000, 8)), RNG.normal(size=(10, 8))
    found = semantics.retrieval(outputs, candidates, RNG.integers(0, 10, 2000))
    assert abs(found.top_1 - 0.1) < 0.03
    assert abs(found.top_5 - 0.5) < 0.05


@pytest.mark.parametrize(
    ('outputs', 'candidates', 'rows', 'message'),
    [
        (3, 5, [0, 1, 2], 'got 3 and 5'),
        (0, 9, [], 'got 0 and 9'),
        (2, 9, [0, 9], r'rows 0\.\.8, got 0\.\.9'),
        (2, 9, [-1, 3], r'got -1\.\.3'),
    ],
)
def test_retrieval_refuses_wrong_counts(outputs, candidates, rows, message):
    with pytest.raises(ValueError, match=message):
        semantics.retrieval(np.ones((outputs, 4)), np.ones((candidates, 4)), np.array(rows, int))
