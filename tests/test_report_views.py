"""The views: what is drawn is what the maps hold, and every error says what to do."""

import numpy as np
import pytest
from _synthetic_run import synthetic_maps
from matplotlib.figure import Figure

from taskgroup.datamaps import DataMaps
from taskgroup.exceptions import InvalidInputError
from taskgroup.grouping import Grouping
from taskgroup.report import (
    plot_data_map,
    plot_data_maps,
    plot_gains,
    plot_membership,
    plot_scorecard,
    plot_similarity,
    plot_task_graph,
    sample_table,
    task_graph,
)
from taskgroup.report._data_map import HEXBIN_ABOVE
from taskgroup.report._style import inline_svg, new_figure, standalone_svg
from taskgroup.tasks import Task, TaskSet


@pytest.fixture(scope="module")
def maps():
    tasks = TaskSet(["a", "b", Task("c", kind="regression"), "d"])
    return synthetic_maps(tasks, np.array([0, 1, 0, 1]), 200, np.random.default_rng(0))


def _flat_maps(confidence, **fields):
    confidence = np.asarray(confidence, np.float32)
    names = [f"t{t}" for t in range(confidence.shape[1])]
    return DataMaps(TaskSet(names), confidence, np.full_like(confidence, 0.1), np.ones(confidence.shape, int), **fields)


def _points(ax):
    return np.ma.filled(np.concatenate([c.get_offsets() for c in ax.collections]), np.nan)


def test_data_map_shows_every_seen_sample_at_variability_and_confidence(maps):
    ax = plot_data_map(maps, "b")
    seen = ~np.isnan(maps.confidence[:, 1])
    expected = np.column_stack([maps.variability[seen, 1], maps.confidence[seen, 1]])
    shown = _points(ax)
    assert seen.sum() < maps.n_samples
    np.testing.assert_array_equal(shown[np.lexsort(shown.T)], expected[np.lexsort(expected.T)])


def test_data_map_alone_brings_three_histograms_and_regression_only_two(maps):
    assert [ax.get_xlabel() for ax in plot_data_map(maps, "a").figure.axes[1:]] == [
        "confidence",
        "variability",
        "correctness",
    ]
    assert len(plot_data_map(maps, "c").figure.axes) == 3
    counts = sum(patch.get_height() for patch in plot_data_map(maps, "a").figure.axes[1].patches)
    assert counts == np.isfinite(maps.confidence[:, 0]).sum()


def test_data_map_marks_correctness_by_colour_and_marker(maps):
    shown = [c for c in plot_data_map(maps, "a").collections if len(c.get_offsets())]
    assert len(shown) > 2
    assert len({tuple(c.get_facecolor()[0]) for c in shown}) == len(shown)
    assert len({c.get_paths()[0].vertices.shape for c in shown}) > 1


def test_data_map_draws_into_given_axes_only(maps):
    figure = Figure()
    left, _ = figure.subplots(1, 2)
    assert plot_data_map(maps, "a", left) is left
    assert len(figure.axes) == 2


@pytest.mark.parametrize("with_correctness", [True, False])
def test_data_map_above_the_limit_counts_in_hexagons(with_correctness):
    rng = np.random.default_rng(0)
    confidence = rng.random((HEXBIN_ABOVE + 1, 1))
    fields = {"correctness": confidence.astype(np.float32)} if with_correctness else {}
    ax = plot_data_map(_flat_maps(confidence, **fields), "t0")
    (hexagons,) = ax.collections
    values = hexagons.get_array()
    assert len(values) < 2000
    if with_correctness:  # confidence is correctness here, so a hexagon's value is its height
        np.testing.assert_allclose(values, hexagons.get_offsets()[:, 1], atol=0.03)
    else:
        assert values.sum() == HEXBIN_ABOVE + 1


def test_unknown_task_is_named_with_the_nearest_one():
    with pytest.raises(InvalidInputError, match="no task 't00'; did you mean 't0'"):
        plot_data_map(_flat_maps([[0.5]]), "t00")


def test_small_multiples_count_every_sample_once(maps):
    image = plot_data_maps(maps).axes[0].images[0].get_array()
    filled = (image[..., 3] > 0).sum()
    cells = set()
    for t in range(maps.n_tasks):
        for mu, sigma in zip(maps.confidence[:, t], maps.variability[:, t], strict=True):
            if not np.isnan(mu):
                cells.add((t, int(min((1 - mu) * 64, 63)), int(min(2 * sigma * 64, 63))))
    assert filled == len(cells)


def test_small_multiples_are_the_same_whatever_the_chunk(maps, monkeypatch):
    whole = plot_data_maps(maps).axes[0].images[0].get_array()
    monkeypatch.setattr("taskgroup.report._small_multiples._CHUNK", 37)
    np.testing.assert_array_equal(whole, plot_data_maps(maps).axes[0].images[0].get_array())


def test_small_multiples_take_the_tasks_in_the_order_given_with_their_groups(maps):
    grouping = Grouping.from_labels(maps.tasks, [0, 1, 0, 1])
    texts = [text.get_text() for text in plot_data_maps(maps, ["d", "a"], grouping=grouping).axes[0].texts]
    assert texts == ["1", "d", "0", "a"]


def test_small_multiples_of_too_many_tasks_are_refused():
    with pytest.raises(InvalidInputError, match=r"between 1 and 100 tasks; got 101\. Pass"):
        plot_data_maps(_flat_maps(np.full((2, 101), 0.5)))


@pytest.mark.parametrize(
    ("region", "key", "sign"), [("easy", "confidence", -1), ("hard", "confidence", 1), ("ambiguous", "variability", -1)]
)
def test_sample_table_holds_the_deepest_samples_of_a_region(maps, region, key, sign):
    rows = sample_table(maps, "a", region, n=7)
    values = getattr(maps, key)[:, 0]
    np.testing.assert_allclose([getattr(row, key) for row in rows], sign * np.sort(sign * values)[:7])
    assert [row.sample_id % 2 for row in rows] == [0] * 7  # ids are the recorded ones, not row numbers
    assert all(row.target in (0.0, 1.0) for row in rows)


def test_sample_table_leaves_out_unseen_samples_and_marks_what_was_not_recorded():
    rows = sample_table(_flat_maps([[0.2], [np.nan], [0.1]]), "t0", "hard", n=9)
    assert [row.sample_id for row in rows] == [2, 0]
    assert np.isnan(rows[0].correctness)
    assert np.isnan(rows[0].target)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("a", "middle"), "`region` must be one of"), (("a", "hard", 0), "`n` must be at least 1; got 0")],
)
def test_sample_table_refuses(maps, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        sample_table(maps, *arguments)


def test_similarity_is_ordered_by_group():
    grouping = Grouping.from_labels(["a", "b", "c"], [0, 1, 0])
    matrix = [[1.0, 0.2, 0.7], [0.2, 1.0, 0.3], [0.7, 0.3, 1.0]]
    ax = plot_similarity(matrix, grouping)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "c", "b"]
    np.testing.assert_array_equal(ax.images[0].get_array()[0], [1.0, 0.7, 0.2])


def test_similarity_of_many_tasks_is_drawn_as_means_of_blocks():
    matrix = np.random.default_rng(0).random((1001, 1001))
    image = plot_similarity(matrix, Grouping.from_labels([f"t{t}" for t in range(1001)], np.zeros(1001))).images[0]
    shown = image.get_array()
    assert shown.shape == (334, 334)
    np.testing.assert_allclose(shown[0, 1], matrix[:3, 3:6].mean())
    np.testing.assert_allclose(shown[-1, -1], matrix[999:, 999:].mean())


def test_similarity_of_another_shape_is_refused():
    with pytest.raises(InvalidInputError, match=r"`similarity` must have shape \(2, 2\); got \(3, 3\)"):
        plot_similarity(np.eye(3), Grouping.from_labels(["a", "b"], [0, 1]))


def test_membership_is_the_opacity_of_a_cell():
    grouping = Grouping(TaskSet(["a", "b"]), np.array([[0.75, 0.25], [0.1, 0.9]]))
    image = plot_membership(grouping).images[0].get_array()
    np.testing.assert_allclose(image[..., 3], [[0.75, 0.1], [0.25, 0.9]])


def test_task_graph_joins_nearest_tasks_only():
    similarity = np.array([[1, 0.9, 0.5, 0], [0.9, 1, 0.4, 0], [0.5, 0.4, 1, 0], [0, 0, 0, 1.0]])
    graph = task_graph(similarity, Grouping.from_labels(["a", "b", "c", "d"], [0, 0, 1, 2]), neighbours=1)
    assert sorted(graph.edges(data="weight")) == [("a", "b", 0.9), ("a", "c", 0.5)]
    assert graph.degree["d"] == 0
    with pytest.raises(InvalidInputError, match="`neighbours` must be at least 1; got 0"):
        task_graph(similarity, Grouping.from_labels(["a", "b", "c", "d"], [0, 0, 1, 2]), neighbours=0)


@pytest.mark.parametrize("similarity", [np.ones((30, 30)), np.eye(30)], ids=["all alike", "no edge"])
def test_task_graph_draws_no_node_upon_another(similarity):
    graph = task_graph(similarity, Grouping.from_labels([f"t{t}" for t in range(30)], np.arange(30) % 3))
    points = np.asarray(plot_task_graph(graph).collections[-1].get_offsets())
    gaps = np.linalg.norm(points[:, None] - points, axis=-1)[~np.eye(30, dtype=bool)]
    assert gaps.min() > 0.1


def test_scorecard_puts_the_best_method_on_top_and_leaves_out_undefined_ones():
    rows = [
        {"method": "mtl", "mean": 0.9, "ci95": [0.8, 0.95]},
        {"method": "stl", "mean": 0.7, "ci95": None},
        {"method": "odd", "mean": None, "ci95": None},
    ]
    assert [label.get_text() for label in plot_scorecard(rows).get_yticklabels()] == ["stl", "mtl"]
    with pytest.raises(InvalidInputError, match="at least one method with a mean; got 1 without"):
        plot_scorecard(rows[2:])


def test_gains_are_sorted_and_losses_have_another_colour():
    figure = plot_gains({"grouped": {"a": [-0.02, 0.0], "b": [0.1, 0.3]}, "mtl": {"a": [0.05]}})
    (ax,) = figure.axes
    rings, _, dots = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), [[0, 0.2], [1, -0.01]])
    np.testing.assert_allclose(rings.get_offsets(), [[1, 0.05]])
    assert tuple(dots.get_facecolor()[0]) != tuple(dots.get_facecolor()[1])
    with pytest.raises(InvalidInputError, match="at least one series with one task"):
        plot_gains({})


def test_names_are_text_and_never_formulas():
    name = r"$\frac{1}{x}$ & <b>"
    figure = plot_gains({"grouped": {name: [0.1]}})
    svg = standalone_svg(figure, "gains")
    assert r"$\frac{1}{x}$ &amp; &lt;b&gt;" in svg


def test_svg_is_the_same_every_time_and_follows_the_page_when_inline():
    def draw():
        ax = new_figure(3, 2).add_subplot()
        ax.set_title("模型")  # no glyph in matplotlib's font: no warning either
        ax.plot([0, 1], clip_on=True)
        return standalone_svg(ax.figure, "one")

    svg = draw()
    assert svg == draw()
    page = inline_svg(svg, "one")
    assert page.startswith("<svg viewBox")
    assert "var(--font)" in page
    assert 'id="one-' in page
    assert "url(#one-" in page
    assert "<metadata" not in page


def test_settings_of_the_user_stay_as_they_are(maps):
    import matplotlib

    before = dict(matplotlib.rcParams)
    standalone_svg(plot_data_map(maps, "a").figure, "x")
    assert dict(matplotlib.rcParams) == before
