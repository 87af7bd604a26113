"""`workbook heads --profile full`: every head learns from the Hub's sets and models."""

import json

import pytest
from hub_rows import serve_sets
from stand_in_hub import standing_in

from helpers import checkpoints, tasks
from helpers.profiles import HUB_REVISIONS

COMMAND = """
from helpers.cli import main
main(["heads", "--profile", "full", "--seeds", "1", "--steps", "2", "--output", {output!r}])
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    with standing_in() as hub:
        serve_sets(hub, folder / "repos")
        for repo, find in (("bert", checkpoints.bert), ("distilbert", checkpoints.distilbert)):
            repo = f"{repo}-base-uncased"
            hub.add("models", repo, checkpoints.Path(find()), HUB_REVISIONS[repo])
        output = folder / "heads.json"
        done = hub.python(folder / "home", COMMAND.format(output=str(output)))
        assert done.returncode in (0, None), done.stderr
        asked = {path for _, path, _ in hub.requests}
    return {**json.loads(output.read_text()), "asked": asked, "said": done.stdout}


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_head_takes_steps_and_is_scored(report, name):
    task = tasks.task(name)
    for kind in ("bert", "distilbert"):
        assert report["recipes"][f"{kind}/{name}"]["steps"] == 2
        run = report["runs"][f"{kind}/{name}/0"]
        assert -1 <= run["scores"][task.score] <= 1
        assert run["seconds"] > 0


def test_models_and_sets_came_from_the_hub(report):
    for repo in ("distilbert-base-uncased", "bert-base-uncased", "stanfordnlp/imdb"):
        assert any(f"/{repo}/" in path and "resolve" in path for path in report["asked"]), repo
    assert "the student keeps" in report["said"]
