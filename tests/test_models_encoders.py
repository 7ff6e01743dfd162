"""Encoders: shapes, unseen categories, copies that learn apart, the user's own module."""

import numpy as np
import pytest
import torch
from torch import nn

from taskgroup.data import InputSchema
from taskgroup.exceptions import InvalidInputError
from taskgroup.models import FieldsEncoder, build_model
from taskgroup.models._encoders import StackedEncoder
from taskgroup.models._images import CNNEncoder, ResNet18Encoder


def schema(n_features, input_shape=(), categories=None):
    names = tuple(f"x{j}" for j in range(n_features))
    return InputSchema(
        names, np.zeros(n_features, np.float32), np.ones(n_features, np.float32), categories or {}, input_shape
    )


def test_fields_lays_embeddings_before_numbers():
    encoder = FieldsEncoder(4, {1: 3, 3: 2}, dim=2)
    features = encoder(torch.tensor([[0.5, 3.0, -1.0, 1.0]]))
    assert encoder.out_features == features.shape[1] == 6
    torch.testing.assert_close(features[0], torch.cat([encoder.table[3], encoder.table[5], torch.tensor([0.5, -1.0])]))


def test_unseen_and_unknown_codes_add_nothing_at_the_start():
    features = FieldsEncoder(2, {0: 3, 1: 2}, dim=2)(torch.tensor([[0.0, 7.0]]))
    assert features.tolist() == [[0.0] * 4]


@pytest.mark.parametrize("encoder", [CNNEncoder, ResNet18Encoder])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 20)])
def test_image_encoders_return_features_and_learn(encoder, shape):
    model = encoder(shape)
    features = model(torch.randn(2, int(np.prod(shape))))
    assert features.shape == (2, model.out_features)
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_resnet18_has_the_size_of_resnet18():
    # 11,173,962 parameters of the variant for 32x32 images, less its classifier of 512 x 10 + 10.
    assert sum(p.numel() for p in ResNet18Encoder((3, 32, 32)).parameters()) == 11_173_962 - 5_130


@pytest.mark.parametrize("encoder", ["cnn", "resnet18"])
def test_image_encoders_need_images(encoder):
    with pytest.raises(InvalidInputError, match=r"need an `input_shape` of \(channels, height, width\).* got \(5,\)"):
        build_model("shared-bottom", schema(5, (5,)), ["a"], encoder=encoder)


def test_auto_takes_fields_for_categories_and_cnn_for_images():
    assert build_model("shared-bottom", schema(3), ["a"]).encoder is None
    assert isinstance(build_model("shared-bottom", schema(3, (3,), {1: ("p",)}), ["a"]).encoder, FieldsEncoder)
    assert isinstance(build_model("adatt", schema(64, (1, 8, 8)), ["a"]).encoder, CNNEncoder)
    assert build_model("adatt", schema(64, (1, 8, 8)), ["a"], encoder="mlp").encoder is None


def test_the_users_own_module_is_measured():
    model = build_model("adatt", schema(5), ["a", "b"], encoder=lambda: nn.Sequential(nn.Linear(5, 7), nn.Dropout(0.5)))
    assert model.in_features == 7
    assert model.encoder.training
    assert model.logits(torch.zeros(3, 5)).shape == (3, 2)


def test_an_encoder_of_the_wrong_shape_is_refused():
    with pytest.raises(InvalidInputError, match=r"must turn \(B, 5\) into \(B, D\); 2 rows gave \(2, 1, 5\)"):
        build_model("shared-bottom", schema(5), ["a"], encoder=lambda: nn.Unflatten(1, (1, 5)))


def test_stacked_copies_start_apart_and_equal_plain_ones():
    torch.manual_seed(0)
    stacked = StackedEncoder(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), 3).eval()
    x = torch.randn(6, 5)
    features = stacked(x)
    assert features.shape == (3, 6, 4)
    assert not torch.allclose(features[0], features[1])
    torch.testing.assert_close(stacked.unstacked()(x), features[0])


def test_single_task_networks_have_encoders_of_their_own():
    model = build_model("single-task", schema(64, (1, 8, 8)), ["a", "b"], hidden=(8,))
    (gradients,) = torch.autograd.grad(model(torch.randn(4, 64))["a"].sum(), model.encoder.module.layers[0].weight)
    assert gradients[0].any()
    assert not gradients[1].any()
