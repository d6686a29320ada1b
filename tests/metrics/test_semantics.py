"""Agreement of a classifier, and retrieval, on cases whose answers are known."""

import numpy as np
import pytest

from gan_transfer.metrics import semantics

RNG = np.random.default_rng(0)


def test_agreement_of_equal_and_of_opposite_answers():
    logits = RNG.normal(size=(20, 30)).astype(np.float32)
    same = semantics.agreement(logits, 2 * logits + 7)  # surer, and by a constant that says nothing
    assert same.first_kept.tolist() == [1] * 20
    assert (same.cosine > 0.5).all()
    assert (same.cosine < 1).all()
    np.testing.assert_allclose(semantics.agreement(logits, logits + 1000).cosine, 1)
    opposite = semantics.agreement(logits, -logits)
    assert not opposite.first_kept.any()
    assert (opposite.cosine < same.cosine).all()


def test_agreement_counts_classes_image_by_image():
    before, after = np.zeros((2, 10)), np.zeros((2, 10))
    before[:, :5] = [5, 4, 3, 2, 1]
    after[0, [0, 9, 8, 2, 7]] = [5, 4, 3, 2, 1]  # the same first
    after[1, [1, 0, 2, 3, 4]] = [5, 4, 3, 2, 1]  # another first
    found = semantics.agreement(before, after)
    assert found.first_kept.tolist() == [1, 0]
    p, q = np.exp(before), np.exp(after)
    expected = (p * q).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(q, axis=1)
    np.testing.assert_allclose(found.cosine, expected)


def test_agreement_refuses_no_images():
    with pytest.raises(ValueError, match='needs images, as many on both sides'):
        semantics.agreement(np.zeros((0, 10)), np.zeros((0, 10)))


def test_every_counterpart_is_found_whatever_the_length_of_features_and_the_style():
    candidates = RNG.normal(size=(40, 16))
    outputs = candidates - candidates.mean(0)
    outputs = outputs * RNG.uniform(0.5, 2) + RNG.normal(size=16)  # all of them moved alike
    assert not semantics.retrieval_ranks(outputs, candidates).any()
    assert semantics.retrieval_ranks(np.roll(outputs, 1, 0), candidates).all()


def test_ranks_count_those_that_are_nearer():
    """Candidates around a circle; each output points a little past its neighbour's place."""
    angles = np.arange(8) * np.pi / 4
    candidates, outputs = (np.stack([np.cos(x), np.sin(x)], 1) for x in (angles, angles + 1.2 * np.pi / 4))
    assert semantics.retrieval_ranks(outputs, candidates).tolist() == [2] * 8


def test_ranks_of_noise_are_chance():
    ranks = semantics.retrieval_ranks(RNG.normal(size=(1000, 8)), RNG.normal(size=(1000, 8)))
    assert abs((ranks < 100).mean() - 0.1) < 0.04
    assert abs((ranks < 500).mean() - 0.5) < 0.06


@pytest.mark.parametrize(('outputs', 'candidates'), [(3, 5), (1, 1), (0, 0)])
def test_ranks_refuse_wrong_counts(outputs, candidates):
    with pytest.raises(ValueError, match=f'got {outputs} and {candidates}'):
        semantics.retrieval_ranks(np.ones((outputs, 4)), np.ones((candidates, 4)))
