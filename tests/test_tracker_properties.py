"""Any batch order, batch size, duplication, split over processes and interruption gives one and the same record."""

import io

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskgroup import Task
from taskgroup.datamaps import UNSEEN, decode_probability
from taskgroup.tracker import DataMapTracker

STEP = 0.5 / 65534 + 1e-6  # half a code, and float32
TASKS = ["b", Task("m", kind="multiclass", n_classes=3), Task("r", kind="regression"), "c"]
WIDTH = 6


def oracle(logits, labels, scale):
    """Return p (n, 4) in float64, NaN where the label is missing."""
    p = np.full(labels.shape, np.nan)
    for t, z in ((0, logits[:, 0]), (3, logits[:, 5])):
        p[:, t] = 1 / (1 + np.exp(-(2 * labels[:, t] - 1) * z))
    weight = np.exp(logits[:, 1:4])
    known = ~np.isnan(labels[:, 1])
    p[known, 1] = weight[known, labels[known, 1].astype(int)] / weight[known].sum(1)
    p[:, 2] = np.exp(-((logits[:, 4] - labels[:, 2]) ** 2) / (2 * scale**2))
    return p


@st.composite
def recordings(draw):
    """Return (n_samples, mode, epochs); an epoch is (ids, logits, labels) of its sightings in one order."""
    n_samples = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = [rng.integers(0, 2, n_samples), rng.integers(0, 3, n_samples), rng.normal(size=n_samples)]
    labels = np.stack([*kinds, rng.integers(0, 2, n_samples)], 1).astype(np.float32)
    labels[rng.random(labels.shape) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    epochs = []
    for _ in range(draw(st.integers(1, 3))):
        ids = np.array(draw(st.lists(st.integers(0, n_samples - 1), min_size=1, max_size=20)))
        logits = (draw(st.sampled_from([1, 8])) * rng.normal(size=(len(ids), WIDTH))).astype(np.float32)
        epochs.append((ids, logits, labels[ids]))
    return n_samples, epochs


def shuffled(draw, epoch):
    order = draw(st.permutations(range(len(epoch[0]))))
    return [part[list(order)] for part in epoch]


def feed(draw, tracker, epoch):
    """Give a tracker the sightings in some order, in batches of some size."""
    ids, logits, labels = shuffled(draw, epoch)
    size = draw(st.integers(1, 8))
    for start in range(0, len(ids), size):
        rows = slice(start, start + size)
        tracker.update(ids[rows], torch.from_numpy(logits[rows]), labels[rows])


def interrupted(draw, tracker, make):
    """Return the tracker, or a new one with its state."""
    if not draw(st.booleans()):
        return tracker
    file = io.BytesIO()
    torch.save(tracker.state_dict(), file)
    file.seek(0)
    fresh = make()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_way_of_recording_gives_the_history_of_the_oracle(data):
    n_samples, epochs = data.draw(recordings())
    n_ranks = data.draw(st.integers(1, 3))
    scale = data.draw(st.sampled_from([0.5, 2.0]))

    def make(mode="history"):
        return DataMapTracker(TASKS, n_samples, mode=mode, scales={"r": scale}, margin=True)

    whole, stream = make(), make("stream")
    ranks = [make() for _ in range(n_ranks)]
    expected = []
    for ids, logits, labels in epochs:
        for tracker in (whole, stream):
            tracker.update(ids, torch.from_numpy(logits), labels)
            tracker.end_epoch()
        owner = np.array([data.draw(st.integers(0, n_ranks - 1)) for _ in ids])
        for rank in range(n_ranks):
            mine = owner == rank
            padding = not mine.any()  # a rank without samples takes one with all labels missing
            part = (ids[:1], logits[:1], labels[:1] * np.nan) if padding else (ids[mine], logits[mine], labels[mine])
            feed(data.draw, ranks[rank], part)
            ranks[rank] = interrupted(data.draw, ranks[rank], make)
            ranks[rank].end_epoch()
        p = oracle(logits.astype(np.float64), labels.astype(np.float64), scale)
        sums, count = np.zeros((n_samples, 4)), np.zeros((n_samples, 4))
        np.add.at(sums, ids, np.nan_to_num(p))
        np.add.at(count, ids, ~np.isnan(p))
        with np.errstate(invalid="ignore"):
            expected.append(sums / count)
    first, *others = data.draw(st.permutations(ranks))
    for other in others:
        first.merge(other)
    maps, merged, streamed = whole.data_maps(), first.data_maps(), stream.data_maps()

    np.testing.assert_allclose(decode_probability(maps.history), np.stack(expected), atol=2 * STEP)
    np.testing.assert_array_equal(maps.history, merged.history)
    assert maps.content_hash() == merged.content_hash() == streamed.content_hash()
    for name in ("correctness", "forgetting", "aleatoric", "margin", "targets"):
        np.testing.assert_array_equal(getattr(maps, name), getattr(merged, name), err_msg=name)
        np.testing.assert_array_equal(getattr(maps, name), getattr(streamed, name), err_msg=name)
    mu, sigma = maps.confidence.astype(np.float64), maps.variability.astype(np.float64)
    seen = maps.count > 0
    assert (sigma[seen] <= np.sqrt((mu * (1 - mu))[seen]) + 1e-6).all()
    assert ((maps.history == UNSEEN).all(0) == ~seen).all()
