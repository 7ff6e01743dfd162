"""APEM: attention against torch's own, group attention against a loop, the selector against flatten and Linear."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from taskgroup.data import InputSchema
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.models import APEM, build_model
from taskgroup.models._attention import Attention, GroupBlock, MultiheadBlock


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_attention_equals_that_of_torch():
    ours, theirs = Attention(8, 2).double(), nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        layers = (ours.query, ours.key, ours.value)
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    queries, keys = randn(3, 4, 8), randn(3, 6, 8)
    mask = torch.rand(3, 1, 6) > 0.3
    mask[..., 0] = True
    torch.testing.assert_close(ours(queries, keys), theirs(queries, keys, keys)[0], rtol=0, atol=1e-12)
    expected = theirs(queries, keys, keys, key_padding_mask=~mask.squeeze(1))[0]
    torch.testing.assert_close(ours(queries, keys, mask), expected, rtol=0, atol=1e-12)


def test_block_is_pre_norm():
    block, queries, keys = MultiheadBlock(8, 2).double(), randn(3, 4, 8), randn(3, 6, 8)
    hidden = queries + block.attention(block.norm_queries(queries), block.norm_keys(keys))
    torch.testing.assert_close(block(queries, keys), hidden + block.feed_forward(block.norm_hidden(hidden)))


@pytest.mark.parametrize("n_tokens", [6, 8])
def test_groups_equal_a_loop_over_them(n_tokens):
    block, tokens = GroupBlock(8, n_tokens, 3, 2, 2, squeeze=True).double(), randn(4, n_tokens, 8)
    nn.init.normal_(block.excite.excite.weight)
    points = torch.cat([
        block.compress(points.expand(4, -1, -1), tokens[:, members])
        for points, members in zip(block.inducing, block.members, strict=True)
    ], 1)  # fmt: skip
    factors = 2 * torch.sigmoid(block.excite.excite(torch.relu(block.excite.squeeze(points.mean(-1)))))
    expected = block.broadcast(tokens, points * factors[..., None])
    torch.testing.assert_close(block(tokens), expected, rtol=0, atol=1e-12)
    assert sorted(token for members in block.members for token in members) == list(range(n_tokens))


def test_one_group_without_squeeze_is_the_induced_block_of_the_set_transformer():
    block, tokens = GroupBlock(8, 5, 1, 3, 2, squeeze=False).double(), randn(4, 5, 8)
    induced = block.compress(block.inducing[0].expand(4, -1, -1), tokens)
    torch.testing.assert_close(block(tokens), block.broadcast(tokens, induced))


def test_squeeze_and_excitation_starts_as_the_identity():
    block, points = GroupBlock(8, 6, 2, 2, 2, squeeze=True).double(), randn(4, 4, 8)
    assert torch.equal(block.excite(points), points)


def test_order_inside_a_group_does_not_matter_but_across_groups_it_does():
    block, tokens = GroupBlock(8, 6, 2, 2, 2, squeeze=True).double(), randn(4, 6, 8)
    inside, across = torch.tensor([2, 0, 1, 3, 5, 4]), torch.tensor([3, 1, 2, 0, 4, 5])
    torch.testing.assert_close(block(tokens[:, inside]), block(tokens)[:, inside])
    assert not torch.allclose(block(tokens[:, across]), block(tokens)[:, across])


@pytest.mark.parametrize("n_selected", [None, 3])
def test_selector_equals_gate_flatten_linear(n_selected):
    selector = APEM(6, ["a", "b"], hidden=(5,), token_width=4, n_selected=n_selected).double().selector
    tokens = randn(7, 6, 4)
    gates, z = selector.gates(tokens), selector(tokens)
    for t in range(2):
        scores = (selector.key(tokens) + selector.identity) @ selector.indicator[t] / 2.0
        own = 2 * torch.sigmoid(scores)
        if n_selected is not None:
            own = own * (scores >= scores.sort(1, descending=True).values[:, [n_selected - 1]])
        torch.testing.assert_close(gates[t], own)
        flat = (own[..., None] * tokens).flatten(1)
        expected = torch.relu(F.linear(flat, selector.weight.flatten(0, 1).t(), selector.bias))
        torch.testing.assert_close(z[t], expected)


def test_top_k_leaves_k_gates():
    model = APEM(6, ["a", "b"], hidden=(5,), token_width=4, n_selected=2)
    assert ((model.selection(torch.randn(9, 6)) > 0).sum(-1) == 2).all()


def test_an_indicator_moves_its_own_task_only():
    model = APEM(6, ["a", "b", "c"], hidden=(5,), token_width=4)
    (gradient,) = torch.autograd.grad(model.logits(torch.randn(9, 6))[:, 1].sum(), model.selector.indicator)
    assert gradient[1].abs().sum() > 0
    assert gradient[[0, 2]].abs().sum() == 0


def test_tokens_stand_in_column_order():
    model = APEM(4, ["a"], categories={1: 3, 2: 2}, token_width=4, hidden=(5,))
    x = torch.tensor([[0.5, 3.0, 1.0, -2.0]])
    tokens = model.tokens(x)[0]
    slope, offset, embedding = model.tokens.slope, model.tokens.offset, model.tokens.categorical.table
    torch.testing.assert_close(tokens[0], 0.5 * slope[0] + offset[0])
    torch.testing.assert_close(tokens[1], embedding[3])  # field 1: rows 0 .. 3
    torch.testing.assert_close(tokens[2], embedding[5])  # field 2: rows 4 .. 6
    torch.testing.assert_close(tokens[3], -2.0 * slope[1] + offset[1])
    unseen = model.tokens(torch.tensor([[0.0, 0.0, 9.0, 0.0]]))[0]
    assert not unseen[1:3].any()


@pytest.mark.parametrize(
    "options", [{"n_blocks": 0}, {"n_blocks": 2}, {"n_tokens": 3}, {"attention": "group", "n_groups": 2}]
)
def test_variants_run_and_learn(options):
    model = APEM(6, ["a", "b"], hidden=(5, 4), token_width=4, **options)
    model.logits(torch.randn(9, 6)).square().sum().backward()
    assert model.task_profiles(torch.randn(9, 6)).shape == (2, 3 if "n_tokens" in options else 6)
    assert all(p.grad is not None for p in model.parameters())


def test_groups_share_an_indicator_and_encoders_give_dense_tokens():
    grouping = Grouping.from_labels(["a", "b", "c"], [0, 1, 0])
    model = APEM(6, ["a", "b", "c"], hidden=(5,), units="group", grouping=grouping)
    assert model.selector.indicator.shape == (2, 16)
    selection = model.selection(torch.randn(3, 6))
    assert torch.equal(selection[:, 0], selection[:, 2])
    wide = InputSchema(tuple(f"x{i}" for i in range(200)), np.zeros(200, np.float32), np.ones(200, np.float32))
    assert build_model("apem", wide, ["a"]).selection(torch.randn(2, 200)).shape == (2, 1, 16)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_heads": 3}, "`n_heads` must divide the token width 16; got 3"),
        ({"n_selected": 7}, "`n_selected` must be between 1 and n_fields=6; got 7"),
        ({"attention": "group", "n_groups": 7}, "`n_groups` must be between 1 and n_fields=6; got 7"),
        ({"attention": "sab"}, "`attention` must be one of"),
        ({"n_blocks": -1}, "`n_blocks` must be at least 0"),
        ({"n_tokens": 0}, "`n_tokens` must be at least 1"),
        ({"temperature": 0.0}, "`temperature` must be at least"),
        ({"attention": "group", "n_inducing": 0}, "`n_inducing` must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(options, match):
    with pytest.raises(InvalidInputError, match=match):
        APEM(6, ["a"], **options)
