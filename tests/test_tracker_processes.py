"""Several processes, and processes that die: torch.distributed with gloo, and SIGKILL."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from taskgroup import DataMaps, Task
from taskgroup.exceptions import InvalidInputError
from taskgroup.tracker import DataMapTracker

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[1])}

RANKS = """
import sys
import torch
from torch import distributed
from torch.utils.data import DistributedSampler
from taskgroup import Task
from taskgroup.tracker import DataMapTracker

out, *modes = sys.argv[1:]
distributed.init_process_group("gloo")
rank, size = distributed.get_rank(), distributed.get_world_size()
N = 11
data = torch.randn(3, N, 3, generator=torch.Generator().manual_seed(0))
labels = torch.randint(0, 2, (N, 3), generator=torch.Generator().manual_seed(1)).float()
tasks = ["a", Task("r", kind="regression"), "b"]

for mode in modes:
    name = "stream" if mode == "stream" else "history"
    tracker = DataMapTracker(tasks, N, name, folder=out + "/recording" if mode == "folder" else None)
    single = DataMapTracker(tasks, N, name)
    for epoch in range(3):
        for r in range(size):
            sampler = DistributedSampler(range(N), size, r, shuffle=True)
            sampler.set_epoch(epoch)
            ids = torch.tensor(list(sampler))
            if r == size - 1:
                ids = torch.cat([ids, ids[:2]])  # uneven shards, with repeats of their own
            for rows in ids.split(3):
                logits = data[epoch, rows] + r / 10  # the ranks' models differ here, to make padding show
                single.update(rows, logits, labels[rows])
                if r == rank:
                    tracker.update(rows, logits, labels[rows])
        if mode != "history" or epoch == 0:
            tracker.gather()
        tracker.end_epoch()
        single.end_epoch()
    if mode == "history":
        tracker.gather()  # two epochs at once
    tracker.data_maps().save(f"{out}/{mode}{rank}.safetensors")
    if rank == 0:
        single.data_maps().save(f"{out}/{mode}.safetensors")
distributed.barrier()
distributed.destroy_process_group()
"""


@pytest.mark.parametrize(("size", "modes"), [(2, ["history", "folder"]), (3, ["history", "stream"])])
def test_ranks_gather_the_record_of_a_single_process_bit_for_bit(size, modes, tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path), *modes],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for mode in modes:
        single = DataMaps.load(tmp_path / f"{mode}.safetensors")
        for rank in range(size):
            maps = DataMaps.load(tmp_path / f"{mode}{rank}.safetensors")
            assert maps.content_hash() == single.content_hash()
            assert maps.info == single.info
            if mode != "stream":
                np.testing.assert_array_equal(maps.history, single.history)
            np.testing.assert_array_equal(maps.targets, single.targets)
    if "folder" in modes:
        assert {path.name for path in (tmp_path / "recording").iterdir()} == {f"rank-{r:05d}" for r in range(size)}


def train(out, deadly):
    """Train for five epochs with a checkpoint after each; die in step ``deadly``."""
    n_samples, n_epochs = 40, 5
    x = torch.randn(n_samples, 6, generator=torch.Generator().manual_seed(0))
    y = (x[:, :2] > 0).float()
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 2)
    tracker = DataMapTracker(["a", "b"], n_samples, folder=out / "recording")
    if (out / "checkpoint.pt").exists():
        checkpoint = torch.load(out / "checkpoint.pt", weights_only=True)
        model.load_state_dict(checkpoint["model"])
        tracker.load_state_dict(checkpoint["tracker"])
    steps = 0
    for epoch in range(tracker.n_epochs, n_epochs):
        for rows in torch.randperm(n_samples, generator=torch.Generator().manual_seed(epoch)).split(8):
            logits = model(x[rows])
            tracker.update(rows, logits, y[rows])
            model.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(logits, y[rows]).backward()
            with torch.no_grad():
                for weight in model.parameters():
                    weight -= weight.grad
            steps += 1
            if steps == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
        tracker.end_epoch()
        torch.save({"model": model.state_dict(), "tracker": tracker.state_dict()}, out / "checkpoint.tmp")
        os.replace(out / "checkpoint.tmp", out / "checkpoint.pt")
    tracker.data_maps().save(out / "datamaps.safetensors")


def test_three_kills_in_mid_epoch_leave_the_maps_of_an_uninterrupted_run(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "taskgroup.tracker"])

    def run(name, deadly):
        (tmp_path / name).mkdir(exist_ok=True)
        process = context.Process(target=train, args=(tmp_path / name, deadly))
        process.start()
        process.join(60)
        return process.exitcode

    assert run("whole", 0) == 0
    for deadly in (3, 7, 9):  # in epoch 0; in epoch 1; after that one, in epoch 2
        assert run("killed", deadly) == -signal.SIGKILL
    assert run("killed", 0) == 0
    whole, killed = (DataMaps.load(tmp_path / name / "datamaps.safetensors") for name in ("whole", "killed"))
    assert whole.history.shape == (5, 40, 2)
    np.testing.assert_array_equal(whole.history, killed.history)
    np.testing.assert_array_equal(whole.targets, killed.targets)
    assert whole.content_hash() == killed.content_hash()


def one_epoch(tracker, rows, z=0.0):
    tracker.update(rows, torch.full((len(rows), len(tracker.tasks)), z), torch.ones(len(rows), len(tracker.tasks)))
    tracker.end_epoch()
    return tracker


def test_what_cannot_be_joined_is_refused():
    alone = DataMapTracker(["a"], 4)
    with pytest.raises(InvalidInputError, match=r"gather\(\) needs torch.distributed"):
        alone.gather()
    one_epoch(alone, [0, 1])
    with pytest.raises(InvalidInputError, match="must agree in their n_samples; got 4 and 5"):
        alone.merge(DataMapTracker(["a"], 5))
    with pytest.raises(InvalidInputError, match="must agree in their tasks"):
        alone.merge(one_epoch(DataMapTracker(["b"], 4), [0]))
    with pytest.raises(InvalidInputError, match="must agree in their finished epochs; got 1 and 0"):
        alone.merge(DataMapTracker(["a"], 4))
    streams = [one_epoch(DataMapTracker(["a"], 4, "stream"), [row]) for row in (0, 1)]
    with pytest.raises(InvalidInputError, match="a stream does not keep its finished epochs"):
        streams[0].merge(streams[1])
    forgetful = one_epoch(DataMapTracker(["a"], 4, mergeable=False), [2, 2])
    with pytest.raises(InvalidInputError, match="forgot its repeat sightings"):
        alone.merge(forgetful)
    residuals = [one_epoch(DataMapTracker([Task("r", kind="regression")], 4), [0, 1], z) for z in (0.0, 5.0)]
    with pytest.raises(InvalidInputError, match=r"residual scales; .* Call gather\(\) before the first end_epoch"):
        residuals[0].merge(residuals[1])


def test_streams_and_regressions_merge_before_the_epoch_ends():
    tasks = ["a", Task("r", kind="regression")]
    rng = np.random.default_rng(0)
    logits, labels = torch.tensor(rng.normal(size=(6, 2))), rng.integers(0, 2, (6, 2))
    for mode in ("history", "stream"):
        whole, *parts = (DataMapTracker(tasks, 4, mode) for _ in range(3))
        ids = np.array([0, 1, 1, 3, 0, 2])
        whole.update(ids, logits, labels)
        for part, rows in zip(parts, ([0, 1, 2], [3, 4, 5]), strict=True):
            part.update(ids[rows], logits[rows], labels[rows])
        parts[0].merge(parts[1])
        whole.end_epoch()
        parts[0].end_epoch()
        assert whole.data_maps().content_hash() == parts[0].data_maps().content_hash()


def test_a_merged_history_leaves_maps_given_out_before_alone():
    first, second = (one_epoch(DataMapTracker(["a"], 2), [row], row) for row in (0, 1))
    maps = first.data_maps()
    before = maps.history.copy()
    first.merge(second)
    np.testing.assert_array_equal(maps.history, before)
    assert first.data_maps().count.tolist() == [[1], [1]]
