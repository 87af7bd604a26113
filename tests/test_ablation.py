"""The ablation in miniature: what is stored, how it is read, and that it runs live."""

import json

import pytest

from helpers.core.errors import WorkbookError
from helpers.distillation import ablation


def point(step, seconds, loss):
    return {"step": step, "seconds": seconds, "loss": loss, "masked_accuracy": 1 / loss}


@pytest.fixture
def report():
    """Two arms, two seeds; the second arm went on past the common ten steps."""
    runs = {}
    for seed, shift in enumerate((0.0, 0.2)):
        runs[f"triple loss/{seed}"] = {
            "curve": [point(0, 0, 6), point(10, 8, 4 + shift)],
            "transfer": {"sentiment": 0.8, "entities": 0.6},
        }
        runs[f"masked LM alone/{seed}"] = {
            "curve": [point(0, 0, 6), point(10, 4, 5 + shift), point(20, 8, 3 + shift)],
            "transfer": {"sentiment": 0.7, "entities": 0.5},
        }
    return {"settings": {"steps": 10}, "teacher": {}, "runs": runs}


def test_the_summary_is_read_at_the_common_step(report):
    found = ablation.summary(report)
    assert list(found) == ["triple loss", "masked LM alone"]
    assert found["masked LM alone"]["loss"] == pytest.approx(5.1)
    assert found["masked LM alone"]["loss_runs"] == pytest.approx([5, 5.2])
    assert found["triple loss"]["transfer"] == pytest.approx(0.7)


def test_equal_seconds_are_read_between_two_points(report):
    curve = report["runs"]["masked LM alone/0"]["curve"]
    assert ablation.at_seconds(curve, 6) == pytest.approx(4)
    assert ablation.at_seconds(curve, 0) == 6
    assert ablation.at_seconds(curve, 99) == 3


def test_sample_texts_are_the_training_texts_each_once():
    texts = ablation.sample_texts("classroom")
    assert len(texts) > 1_500
    assert len(set(texts)) > 0.99 * len(texts)
    test = {row["text"] for row in ablation.data.rows("corpus", "test")}
    assert not test & set(texts)


def test_it_runs_live_keeps_what_it_has_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation.Experiment, "transfer", lambda *_: {"sentiment": 0.5})
    arms = {name: ablation.ARMS[name] for name in ("triple loss", "masked LM alone")}
    monkeypatch.setattr(ablation, "ARMS", arms)
    path, done = tmp_path / "ablation.json", []
    ablation.run(path, seeds=1, profile="smoke", steps=3, done=done.append)
    assert done == ["teacher/0", "triple loss/0", "masked LM alone/0"]
    report = json.loads(path.read_text())
    steps = [p["step"] for p in report["runs"]["masked LM alone/0"]["curve"]]
    assert steps == [0, 1, 2, 3, 4, 5]  # further than the common three
    seconds = [p["seconds"] for p in report["runs"]["triple loss/0"]["curve"]]
    assert seconds == sorted(seconds)

    del report["runs"]["triple loss/0"]
    path.write_text(json.dumps(report))
    done.clear()
    again = {"curve": [point(3, 1, 4)], "transfer": {}}
    monkeypatch.setattr(ablation.Experiment, "run", lambda *_: again)
    ablation.run(path, seeds=1, profile="smoke", steps=3, done=done.append)
    assert done == ["triple loss/0"]
    assert json.loads(path.read_text())["runs"]["triple loss/0"] == again
    with pytest.raises(WorkbookError, match="with other settings"):
        ablation.run(path, seeds=1, profile="smoke", steps=4)


def test_layers_are_spread_as_the_originals_were():
    assert ablation.spread(12) == [0, 2, 4, 7, 9, 11]
    assert ablation.spread(6) == [0, 2, 5]


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(WorkbookError, match="`workbook ablation` makes it"):
        ablation.load(tmp_path / "none.json")


def test_the_stored_comparison_has_every_arm_and_what_the_notebook_reads():
    report = ablation.load()
    found = ablation.summary(report)
    assert list(found) == list(ablation.ARMS)
    assert report["settings"]["arms"] == ablation.described()
    steps = report["settings"]["steps"]
    for key, run in report["runs"].items():
        last = run["curve"][-1]["step"]
        assert last == ablation.steps_of(key.rpartition("/")[0], steps)
