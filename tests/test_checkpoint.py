"""Checkpoints of a small state: the same bits again, the newest ones kept, nothing half."""

import asyncio
import errno
import json
import random
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint._src.path import async_path

from gan_transfer import sharding
from gan_transfer.checkpoint import BEST, Checkpoints, DamagedCheckpoint
from gan_transfer.errors import RunStopped, UserError
from gan_transfer.state import Fault, GanState, SideState
from gan_transfer.train import train
from tests import smallest
from tests.run_folder import steps


@pytest.fixture
def mesh():
    return sharding.make_mesh()


def make_state(mesh, seed, width=3):
    key = jax.random.key(seed)
    params = {'layer': {'kernel': jax.random.normal(key, (width, 5))}}
    state = GanState(
        step=jnp.int32(seed),
        generator=SideState({'generator': params}, {'generator': (jnp.zeros(3), {})}),
        discriminator=SideState({}, {}),
        average={},
        memory={'pool': {'images': jax.random.normal(key, (8, 2, 4, 4, 3))}},
        fault=Fault(jnp.int32(-1), jnp.int32(-1)),
    )
    replicated, split = sharding.replicated(mesh), sharding.batch_sharding(mesh)
    memory = jax.device_put(state.memory, split)
    return jax.device_put(state, replicated).replace(memory=memory)


def abstract(state):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)


def save(workdir, states, **options):
    checkpoints = Checkpoints(workdir, **options)
    for step, state in states.items():
        checkpoints.save(step, state, {'images': 4 * step})
    checkpoints.wait()
    return checkpoints


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.sharding.is_equivalent_to(y.sharding, x.ndim)


def test_restores_the_same_bits_and_keeps_the_newest(tmp_path, mesh):
    states = {step: make_state(mesh, step) for step in (1, 2, 3)}
    save(tmp_path, states, keep=2).close()
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() == 3
    assert sorted(path.name for path in (tmp_path / 'checkpoints').iterdir()) == ['2', '3']
    assert_same(checkpoints.restore(3, abstract(states[3])), states[3])
    assert checkpoints.about(3)['images'] == 12
    checkpoints.close()


def test_saving_survives_the_donation_of_the_state(tmp_path, mesh):
    """The next step may write over the state while it is being saved."""
    state = make_state(mesh, 1)
    expected = jax.tree.map(lambda x: jnp.array(np.array(x), device=x.sharding), state)
    overwrite = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0, tree), donate_argnums=0)
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, state, {})
    state = overwrite(state)
    jax.block_until_ready(state)
    checkpoints.wait()
    assert_same(checkpoints.restore(1, abstract(expected)), expected)
    checkpoints.close()


def test_restores_onto_another_number_of_devices(tmp_path, mesh):
    state = make_state(mesh, 1)
    save(tmp_path, {1: state}, keep=1).close()
    fewer = make_state(sharding.make_mesh(jax.devices()[:2]), 1)
    checkpoints = Checkpoints(tmp_path)
    assert_same(checkpoints.restore(1, abstract(fewer)), fewer)
    checkpoints.close()


def test_other_shapes_are_refused(tmp_path, mesh):
    save(tmp_path, {1: make_state(mesh, 1)}, keep=1).close()
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(UserError, match=r'generator/params/generator/layer/kernel is \[3, 5\], not \[4, 5\]'):
        checkpoints.restore(1, abstract(make_state(mesh, 1, width=4)))
    checkpoints.close()


def test_reading_makes_no_folder(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() is None
    assert not list(tmp_path.iterdir())
    checkpoints.close()


def damage(content, generator):
    """Returns the bytes with one bit flipped, or cut short; None: the file is gone."""
    kind = generator.choice(('flip', 'flip', 'flip', 'cut', 'gone'))
    if kind == 'gone':
        return None
    place = generator.randrange(len(content))
    if kind == 'cut':
        return content[:place]
    return content[:place] + bytes([content[place] ^ 1 << generator.randrange(8)]) + content[place + 1 :]


def test_no_damage_is_restored_silently(tmp_path, mesh):
    """Every file five times, the arrays' 75 times more: one line that names the step, or else the very bits."""
    state = make_state(mesh, 7, width=2000)
    save(tmp_path, {7: state}, keep=1).close()
    generator, seen = random.Random(0), []
    files = sorted(path for path in (tmp_path / 'checkpoints').rglob('*') if path.is_file())
    largest = max(files, key=lambda path: path.stat().st_size)
    checkpoints = Checkpoints(tmp_path)
    for path in [*files * 5, *[largest] * 75]:
        content = path.read_bytes()
        damaged = damage(content, generator)
        path.unlink() if damaged is None else path.write_bytes(damaged)
        try:
            assert_same(checkpoints.restore(7, abstract(state)), state)
        except DamagedCheckpoint as error:
            seen.append(str(error))
        path.write_bytes(content)
    assert len(seen) > 75
    for text in seen:
        assert text.startswith('the checkpoint of step 7 is damaged: ')
        assert len(text.splitlines()) == 1
    by_fingerprint = [text for text in seen if 'is not what was saved' in text]
    assert any('generator/params/generator/layer/kernel is' in text for text in by_fingerprint)
    assert_same(checkpoints.restore(7, abstract(state)), state)
    checkpoints.close()


def test_a_changed_number_in_the_json_item_is_damage(tmp_path, mesh):
    save(tmp_path, {1: make_state(mesh, 1)}, keep=1).close()
    path = tmp_path / 'checkpoints' / '1' / 'about' / 'metadata'
    path.write_text(path.read_text().replace('"images": 4', '"images": 5'))
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(DamagedCheckpoint, match="step 1 is damaged: its item 'about' is not what was saved"):
        checkpoints.about(1)
    checkpoints.close()


def test_a_checkpoint_from_before_fingerprints_is_restored(tmp_path, mesh):
    state = make_state(mesh, 1)
    save(tmp_path, {1: state}, keep=1).close()
    path = tmp_path / 'checkpoints' / '1' / 'about' / 'metadata'
    about = json.loads(path.read_text())
    path.write_text(json.dumps({key: about[key] for key in ('images', 'shapes')}))
    checkpoints = Checkpoints(tmp_path)
    assert_same(checkpoints.restore(1, abstract(state)), state)
    checkpoints.close()


def test_fallback_reads_the_newest_good_one_and_sets_the_others_aside(tmp_path, mesh):
    states = {step: make_state(mesh, step) for step in (1, 2, 3)}
    save(tmp_path, states, keep=3).close()
    shutil.rmtree(tmp_path / 'checkpoints' / '3' / 'state')
    (tmp_path / 'checkpoints' / '2' / 'about' / 'metadata').write_text('')
    checkpoints = Checkpoints(tmp_path, keep=3)

    def read(step):
        return step, checkpoints.restore(step, abstract(states[step]))

    with pytest.raises(
        DamagedCheckpoint, match=r'step 3 is damaged.*--config\.checkpoint\.on_damage=fallback'
    ):
        checkpoints.newest(read, 'error')
    (step, state), damaged = checkpoints.newest(read, 'fallback')
    assert step == 1
    assert_same(state, states[1])
    assert [str(error)[:25] for error in damaged] == [
        'the checkpoint of step 3 ',
        'the checkpoint of step 2 ',
    ]

    assert [place[-14:] for place in checkpoints.set_aside(2)] == [f'/checkpoints_{n}' for n in (2, 3)]
    assert sorted(path.name for path in (tmp_path / 'aside').iterdir()) == [
        'checkpoints_2',
        'checkpoints_3',
    ]
    checkpoints.save(2, states[2], {})
    checkpoints.wait()
    assert_same(checkpoints.restore(2, abstract(states[2])), states[2])
    for step in (1, 2):
        (tmp_path / 'checkpoints' / str(step) / 'about' / 'metadata').write_text('')
    with pytest.raises(DamagedCheckpoint, match=r'no checkpoint in .* is good: .*step 2 .*step 1 '):
        checkpoints.newest(read, 'fallback')
    checkpoints.close()


def test_a_disk_that_takes_no_more_leaves_the_checkpoint_before(tmp_path, mesh):
    """Files that cannot grow stand for a full disk: the system refuses the write."""
    states = {1: make_state(mesh, 1), 2: make_state(mesh, 2, width=20_000)}
    checkpoints = save(tmp_path, {1: states[1]}, keep=2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        checkpoints.save(2, states[2], {})
        with pytest.raises(
            RunStopped, match=r'step 2 cannot be written to .*: File too large; .* step 1 stays'
        ):
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    checkpoints.close()
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() == 1
    assert_same(checkpoints.restore(1, abstract(states[1])), states[1])
    checkpoints.save(2, states[2], {})
    checkpoints.wait()
    assert_same(checkpoints.restore(2, abstract(states[2])), states[2])
    checkpoints.close()


def test_a_step_before_the_newest_is_saved_in_its_place(tmp_path, mesh):
    """The best of a run that was rolled back may be of an earlier step than that of the course it left."""
    states = {step: make_state(mesh, step) for step in (2, 3)}
    checkpoints = save(tmp_path, {3: states[3]}, keep=1)
    checkpoints.save(2, states[2], {})
    checkpoints.wait()
    assert checkpoints.latest() == 2
    assert_same(checkpoints.restore(2, abstract(states[2])), states[2])
    checkpoints.close()
    assert [path.name for path in (tmp_path / 'aside').iterdir()] == ['checkpoints_3']


def test_damage_that_one_process_alone_has_met_is_no_fallback(tmp_path, mesh):
    checkpoints = save(tmp_path, {1: make_state(mesh, 1)}, keep=2)

    def read(step):
        raise DamagedCheckpoint('its arrays cannot be read', everywhere=False)

    with pytest.raises(DamagedCheckpoint, match=r'cannot be read; one process started alone with --config'):
        checkpoints.newest(read, 'fallback')
    checkpoints.close()


def test_what_says_nothing_of_a_checkpoint_is_no_damage(tmp_path, mesh, monkeypatch):
    """Else `on_damage=fallback` would take a good one for damaged, and a training would set it aside."""
    state = make_state(mesh, 1)
    checkpoints = save(tmp_path, {1: state}, keep=1)
    for error in (
        MemoryError(),
        PermissionError(errno.EACCES, 'no rights'),
        ValueError('RESOURCE_EXHAUSTED: 9 GB'),
    ):

        def restore(*_, error=error, **__):
            raise error

        monkeypatch.setattr(checkpoints._manager, 'restore', restore)
        with pytest.raises(UserError, match='checkpoint of step 1 cannot be read now') as caught:
            checkpoints.newest(lambda step: checkpoints.restore(step, abstract(state)), 'fallback')
        assert not isinstance(caught.value, DamagedCheckpoint)


@pytest.mark.parametrize('name', ['lr[1e-4]', 'a\\b'])
def test_a_path_that_orbax_could_not_read_is_refused(name, tmp_path):
    with pytest.raises(UserError, match='could not be read again'):
        Checkpoints(tmp_path / name, keep=1)
    assert not list(tmp_path.iterdir())


def test_a_run_that_ends_by_an_error_keeps_the_save_under_way(smallest_method, pairs, tmp_path, monkeypatch):
    """The error comes right behind the start of a save, which takes long."""
    make, start = async_path.mkdir, Checkpoints.save

    async def make_slowly(*arguments, **options):
        await asyncio.sleep(2)
        return await make(*arguments, **options)

    def start_and_fail(checkpoints, *arguments):
        start(checkpoints, *arguments)
        raise RunStopped('an image is gone')

    monkeypatch.setattr(async_path, 'mkdir', make_slowly)
    monkeypatch.setattr(Checkpoints, 'save', start_and_fail)
    with pytest.raises(RunStopped, match='an image is gone'):
        train(smallest.make_config(pairs), str(tmp_path))
    assert steps(tmp_path) == [4]


def test_a_damaged_best_checkpoint_says_how_the_training_goes_on_without_it(
    smallest_method, pairs, tmp_path, capsys
):
    save(tmp_path, {1: make_state(sharding.make_mesh(), 1)}, keep=1, folder=BEST).close()
    (tmp_path / 'best' / '1' / 'about' / 'metadata').write_text('')
    config = smallest.make_config(pairs, train_images=32, evaluate_every_images=32)
    hint = r'the best checkpoint of step 1 is damaged: .*; --config\.checkpoint\.on_damage=fallback goes on without it'
    with pytest.raises(DamagedCheckpoint, match=hint):
        train(config, str(tmp_path))
    config.checkpoint.on_damage = 'fallback'
    assert train(config, str(tmp_path)) == 0
    assert 'the best checkpoint of step 1 is damaged' in capsys.readouterr().err
    assert steps(tmp_path, BEST) == [8]
    assert (tmp_path / 'aside' / 'best_1').is_dir()


def test_a_checkpoint_that_was_renamed_is_damage(tmp_path, mesh):
    save(tmp_path, {1: make_state(mesh, 1)}, keep=1).close()
    (tmp_path / 'checkpoints' / '1').rename(tmp_path / 'checkpoints' / '2')
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(DamagedCheckpoint, match='step 2 is damaged: it was saved as that of step 1 '):
        checkpoints.about(2)
    checkpoints.close()


def test_the_first_checkpoint_that_cannot_be_written_leaves_nothing_to_go_on_from(
    tmp_path, mesh, monkeypatch
):
    checkpoints = Checkpoints(tmp_path, keep=1)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, 'No space left')

    monkeypatch.setattr(checkpoints._manager, 'save', full)
    with pytest.raises(RunStopped, match=r'there is no other yet; the same command begins anew$'):
        checkpoints.save(1, make_state(mesh, 1), {})
    checkpoints.close()
