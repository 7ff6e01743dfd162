"""Images: pixels of a channel are scaled alike, training moves them, networks with batch statistics are saved."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from taskgroup_cli.main import taskgroup

from taskgroup.data import TaskTable
from taskgroup.exceptions import InvalidInputError
from taskgroup.models import CNNEncoder, build_model
from taskgroup.training import FitSettings, Profile, TrainingData, fit_many, moved, predict, profile

SHAPE = (2, 8, 8)


def images(n=90, seed=0):
    """Return bright squares left or right, in images of two channels on very different scales."""
    rng = np.random.default_rng(seed)
    X, side = rng.normal(scale=0.1, size=(n, *SHAPE)), rng.integers(0, 2, n)
    for image, right in zip(X, side, strict=True):
        image[0, 2:6, 1 + 4 * right : 3 + 4 * right] += 1.0
    X[:, 1] = 100.0 + 10.0 * X[:, 1]
    return X.astype(np.float32), np.stack([side, 1 - side], 1)


@pytest.fixture(scope="module")
def table():
    return TaskTable.from_arrays(*images(), ["right", "left"])


def test_the_pixels_of_a_channel_are_scaled_alike(table):
    schema = table.schema
    scaled = schema.transform(table.X).reshape(-1, *SHAPE)
    for values in (schema.center, schema.scale):
        assert all(len(np.unique(channel)) == 1 for channel in values.reshape(2, -1))
    rows = table.rows("train")
    np.testing.assert_allclose(scaled[rows].mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(scaled[rows].std((0, 2, 3)), 1, atol=1e-4)


@given(strength=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_moved_images_stay_within_their_values(strength, seed):
    x = torch.rand(3, 128, generator=torch.Generator().manual_seed(1))
    found = moved(x, SHAPE, strength, torch.Generator().manual_seed(seed))
    assert found.shape == x.shape
    assert found.min() >= x.min() - 1e-5
    assert found.max() <= x.max() + 1e-5
    assert torch.equal(found, moved(x, SHAPE, strength, torch.Generator().manual_seed(seed)))


def test_moving_by_nothing_changes_nothing_and_constant_images_stay_constant():
    x = torch.rand(4, 128)
    torch.testing.assert_close(moved(x, SHAPE, 0.0), x, atol=1e-5, rtol=0)
    assert not torch.allclose(moved(x, SHAPE, 0.25), x, atol=1e-2)
    torch.testing.assert_close(moved(torch.ones(4, 128), SHAPE, 1.0), torch.ones(4, 128))


def test_images_are_bent_and_not_only_moved():
    plane = torch.linspace(0, 1, 400)[None]  # 20 x 20; an affine map of it is a plane again
    inner = moved(plane, (1, 20, 20), 0.25, torch.Generator().manual_seed(0)).view(20, 20)[5:15, 5:15]
    assert inner.diff(n=2, dim=0).abs().max() > 1e-3


def test_what_is_not_said_depends_on_the_inputs():
    images, rows = FitSettings().resolved((1, 28, 28)), FitSettings().resolved((784,))
    assert (images.schedule, images.augment, images.weight_decay, images.patience) == ("one-cycle", 0.25, 0.01, None)
    assert (rows.schedule, rows.augment, rows.weight_decay, rows.patience) == ("constant", 0.0, 0.0, 5)
    said = FitSettings(schedule="constant", augment=0.5, weight_decay=0.0).resolved((1, 28, 28))
    assert (said.schedule, said.augment, said.weight_decay, said.patience) == ("constant", 0.5, 0.0, 5)
    with pytest.raises(InvalidInputError, match=r"`augment` must be .* 1.*got 2"):
        FitSettings(augment=2.0)
    with pytest.raises(InvalidInputError, match="`schedule` must be"):
        FitSettings(schedule="cosine")


def fitted(table, **options):
    data = TrainingData.from_table(table)
    model = build_model("shared-bottom", table.schema, table.tasks, hidden=(8,))
    (found,) = fit_many([model], data, seeds=[1], settings=FitSettings(epochs=4, batch_size=16, **options))
    return found


def test_image_networks_learn_run_to_the_end_and_repeat_themselves(table):
    one, again, still = fitted(table), fitted(table), fitted(table, augment=0.0)
    assert len(one.valid_loss) == 5  # all epochs, whatever the patience
    assert min(one.valid_loss) < 0.5 * one.valid_loss[0]
    assert one.valid_loss == again.valid_loss
    assert one.valid_loss != still.valid_loss


def test_stacked_networks_learn_as_the_loop_does_where_images_are_read_flat(table):
    def losses(engine, **options):
        data = TrainingData.from_table(table)
        models = [build_model("shared-bottom", table.schema, table.tasks, encoder="mlp", hidden=(8,)) for _ in range(2)]
        settings = FitSettings(epochs=3, batch_size=16, **options)
        return [f.valid_loss for f in fit_many(models, data, seeds=[1, 1], settings=settings, engine=engine)]

    assert losses("auto") == losses("loop")  # one-cycle and moved images need the loop
    plain = {"schedule": "constant", "augment": 0.0}
    np.testing.assert_allclose(losses("stack", **plain), losses("loop", **plain), atol=1e-5)


def test_a_batch_of_one_value_uses_what_was_seen_before():
    encoder = CNNEncoder((1, 4, 4), (4, 4)).train()
    encoder(torch.randn(8, 16))
    before = encoder.layers[2].running_mean.clone()
    assert encoder(torch.randn(1, 16)).isfinite().all()
    assert not torch.equal(encoder.layers[2].running_mean, before)  # 4 values of a map are enough
    assert CNNEncoder((1, 28, 28)).out_features == 864


def test_a_profile_of_images_is_saved_with_its_running_statistics(table, tmp_path):
    found = profile(table, epochs=2, hidden=(4,), settings=FitSettings(batch_size=16))
    found.save(tmp_path)
    x = torch.from_numpy(table.schema.transform(table.X))
    again = Profile.load(tmp_path, table)
    assert torch.equal(predict(again.model, x), predict(found.model, x))
    assert found.model.encoder.layers[2].running_var.ne(1).all()


def test_the_command_line_moves_images(tmp_path):
    X, Y = images(60)
    np.savez(tmp_path / "squares.npz", X=X, Y=Y, task_names=np.array(["right", "left"]))
    maps = {}
    for strength in ("0", "0.3"):
        run = tmp_path / strength
        command = ["profile", str(tmp_path / "squares.npz"), "--epochs", "2", "--augment", strength, "--out", str(run)]
        result = CliRunner().invoke(taskgroup, [*command, "--json"])
        assert result.exit_code == 0, result.stderr
        document = json.loads((run / "run.json").read_text())
        assert document["steps"]["profile"]["settings"]["augment"] == float(strength)
        maps[strength] = (run / "datamaps.safetensors").read_bytes()
    assert maps["0"] != maps["0.3"]
    assert CliRunner().invoke(taskgroup, ["profile", str(tmp_path / "squares.npz"), "--augment", "2"]).exit_code == 2
