"""TabM against the library of its authors, and against its own definition."""

import math

import pytest
import torch
from torch.nn import functional as F

from taskgroup.models import TabM, build_model
from taskgroup.models._tabm import BatchEnsembleLinear, PiecewiseLinear
from taskgroup.tasks import Task, TaskSet

MIXED = TaskSet([Task("a"), Task("m", "multiclass", 3), Task("r", "regression")])


def test_layers_equal_those_of_the_library():
    library = pytest.importorskip("tabm")
    ours = BatchEnsembleLinear(4, 6, 5, signs=True).double()
    theirs = library.LinearBatchEnsemble(6, 5, k=4, scaling_init=("random-signs", "ones")).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x.transpose(0, 1)).transpose(0, 1), rtol=0, atol=1e-12)


def test_embeddings_equal_those_of_the_library():
    library = pytest.importorskip("rtdl_num_embeddings")
    x = torch.randn(400, 3)
    ours = PiecewiseLinear(3, 5, 4)
    ours.set_edges(x)
    theirs = library.PiecewiseLinearEmbeddings(list(ours.edges), 4, activation=False, version="B")
    with torch.no_grad():
        ours.pieces.normal_()
        theirs.linear0.weight.copy_(ours.weight)
        theirs.linear0.bias.copy_(ours.bias)
        theirs.linear.weight.copy_(ours.pieces)
    x = torch.cat([x, 3 * torch.randn(50, 3)])  # some lie beyond all borders
    torch.testing.assert_close(ours(x), theirs(x).flatten(1), rtol=1e-5, atol=1e-5)


def test_members_start_apart_by_signs_alone():
    torch.manual_seed(0)
    first, second = BatchEnsembleLinear(8, 5, 3, signs=True), BatchEnsembleLinear(8, 3, 2)
    assert set(first.r.flatten().tolist()) == {-1.0, 1.0}
    for layer in (first, second):
        assert (layer.s == 1).all()
        assert (layer.bias == layer.bias[0]).all()
    assert (second.r == 1).all()
    x = torch.randn(4, 5)
    expected = F.linear(x * first.r[3], first.weight, first.bias[3])
    torch.testing.assert_close(first(x.unsqueeze(0))[3], expected)


def test_an_answer_is_the_mean_of_the_members_probabilities():
    model = TabM(4, MIXED, hidden=(6,), members=5, dropout=0.0)
    x = torch.randn(9, 4)
    members, packed = model.member_logits(x), model.logits(x)
    torch.testing.assert_close(torch.sigmoid(packed[:, 0]), torch.sigmoid(members[:, :, 0]).mean(0))
    torch.testing.assert_close(packed[:, 1:4].exp(), torch.softmax(members[:, :, 1:4], -1).mean(0))
    torch.testing.assert_close(packed[:, 4], members[:, :, 4].mean(0))


def test_tasks_may_read_batches_of_their_own():
    model = TabM(4, MIXED, hidden=(6,), members=5).eval()
    x = torch.randn(3, 9, 4)
    expected = torch.cat([model.logits(x[0])[:, :1], model.logits(x[1])[:, 1:4], model.logits(x[2])[:, 4:]], 1)
    torch.testing.assert_close(model.logits_each(x), expected)


def test_far_logits_stay_finite():
    model = TabM(4, ["a"], hidden=(6,), members=3)
    packed = model.merged(torch.tensor([[[200.0]], [[-200.0]], [[300.0]]]))
    torch.testing.assert_close(packed, torch.tensor([[math.log(2.0)]]))
    assert torch.isfinite(model.merged(torch.full((3, 1, 1), 500.0))).all()


def test_a_model_of_some_tasks_answers_them_the_same():
    model = TabM(4, MIXED, hidden=(6, 5), members=3, n_bins=3)
    part = model.eval().for_tasks(["r", "a"])
    x = torch.randn(5, 4)
    torch.testing.assert_close(part.logits(x), model.logits(x)[:, [4, 0]])


def test_every_member_starts_at_the_output_bias():
    model = TabM(4, MIXED, hidden=(6,), members=3)
    model.set_output_bias([0.1, 0.2, 0.3, 0.4, 0.5])
    assert (model.heads.bias == torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])).all()


def test_it_is_built_by_name():
    from taskgroup.data import InputSchema

    schema = InputSchema.fit(torch.randn(20, 3).numpy(), ("a", "b", "c"), {2: ("p", "q")}, (3,))
    model = build_model("tabm", schema, MIXED, hidden=(6,), members=3, n_bins=2, n_numeric=2)
    assert model.logits(torch.tensor([[0.5, 1.0, 2.0]])).shape == (1, 5)
    assert model.embed.edges.shape == (2, 3)
