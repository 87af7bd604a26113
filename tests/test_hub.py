"""Sets and models of the Hub, through a Hub that stands in for the real one."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
from stand_in_hub import LAYOUT, StandInHub, commit_of, dataset_files, model_files

from helpers.core import cache
from helpers.core.errors import WorkbookError
from helpers.core.profiles import HUB_REVISIONS
from helpers.data import hub as sets
from helpers.data import prefetch, schemas

GLUE, ROWS = "nyu-mll/glue", 30
SQUAD = "rajpurkar/squad/plain_text/train-00000-of-00001.parquet"
BERT = "google-bert/bert-base-uncased/model.safetensors"
LOAD = """
import json
from datasets import disable_progress_bars
from helpers.data import hub
disable_progress_bars()
def told(name, **more):
    found = hub.load(name, **more)
    return {s: (str(dict(found[s].features)), found[s].to_list()) for s in found}
report = {name: told(name) for name in hub.SETS}
print(json.dumps(report | {"few": told("imdb", split="test", limit=4)}))
hub.load("sst2", revision="f" * 40)
"""
COMMAND = "from helpers.cli import main; main({!r}, standalone_mode={})\n"
THEN = """
from helpers.data.hub import load
print([len(load("sst2", revision=at)["test"]) for at in ("", "main", "")])
"""
OPEN = """
from datasets import load_dataset
from transformers import AutoModel, AutoTokenizer
from helpers.checkpoints import bert, distilbert
from helpers.data import hub
from helpers.checkpoints.ready_made import fine_tuned
tuned = [fine_tuned(task, "full") for task in ("sentiment", "questions")]
for place in (bert("full"), distilbert("full"), *tuned):
    for at in (place.revision, None):
        tokenizer = AutoTokenizer.from_pretrained(place, revision=at)
        model = AutoModel.from_pretrained(place, revision=at)
        ids = tokenizer("A fine day.", return_tensors="pt").input_ids
        print(place, list(model(ids).last_hidden_state.shape))
plain = load_dataset("nyu-mll/glue", "sst2")["validation"]["sentence"][:]
print(plain == hub.load("sst2")["test"]["text"][:])
"""
SWAG = [f"regular validation sent2 1 regular validation ending{i} 1" for i in range(4)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub = StandInHub()
    for repo, layout in LAYOUT["datasets"].items():
        hub.add("datasets", repo, dataset_files(layout, ROWS), commit_of(repo))
    for repo, layout in LAYOUT["models"].items():
        hub.moved[layout["also"]] = repo
        commit = HUB_REVISIONS.get(layout["also"], commit_of(repo))
        made = model_files(layout, tmp_path_factory.mktemp("model"))
        hub.add("models", repo, made, commit)
    yield hub
    hub.server.shutdown()


@pytest.fixture(scope="module")
def loaded(hub, tmp_path_factory):
    done = hub.python(tmp_path_factory.mktemp("home"), LOAD)
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith("correct the revision, or its line in revisions.json"), last
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", sets.SETS)
def test_each_set_is_in_the_schema_of_its_head(loaded, name):
    at = sets.SETS[name]
    configs = {c["config_name"]: c for c in LAYOUT["datasets"][at.repo]["configs"]}
    config = configs.get(at.config) or configs["lhoestq--conll2003"]
    types = {c["name"]: c.get("sequence", c.get("dtype")) for c in config["features"]}
    labels = [types[t] for t, ours in at.columns.items() if ours in ("label", "tags")]
    named = at.head in schemas.NAMED
    names = [*labels[0]["class_label"]["names"].values()] if named else []
    pair = at.head == "classification" and "text_pair" in at.named
    expected = str(dict(schemas.features(at.head, names, pair=pair)))
    for split, (features, rows) in loaded[name].items():
        theirs = at.test if split == "test" else "train"
        assert f"{config['config_name']} {theirs}" in str(rows)
        assert features == expected
        assert len(rows) == (ROWS if at.head != "corpus" else ROWS * 2 // 3)


@pytest.mark.parametrize(
    ("name", "row"),
    {
        "qnli": ("qnli validation question 1", "qnli validation sentence 1", 1),
        "stsb": ("stsb validation sentence1 1", "stsb validation sentence2 1", 0.5),
        "go_emotions": ("simplified test text 1", [0, 0, 1]),
        "conll2003": (["lhoestq--conll2003 test tokens 1"] * 3, [0, 0, 1]),
        "swag": ("regular validation sent1 1", SWAG, 1),
        "wikitext": ("wikitext-2-raw-v1 test text 2 .",),
    }.items(),
)
def test_columns_land_where_they_belong(loaded, name, row):
    assert list(loaded[name]) == ["train", "test"]
    assert tuple(loaded[name]["test"][1][1].values()) == row
    answers = {"text": ["context"], "answer_start": [20]}
    assert loaded["squad_v2"]["test"][1][1]["answers"] == answers
    few = [row["text"] for row in loaded["few"]["test"][1]]  # evenly from all of it
    assert few == [f"plain_text test text {i}" for i in (0, 7, 15, 22)]


@pytest.mark.parametrize(
    ("columns", "test", "words"),
    [
        ("sentence label", "dev", "no split {'validation'} among train, dev"),
        ("text label", "validation", "Column name ['sentence'] not in the dataset"),
        ("sentence label", "validation", "classification needs names of labels"),
    ],
)
def test_a_set_that_changed_is_one_clear_line(monkeypatch, columns, test, words):
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_dict({column: ["a"] for column in columns.split()})
    found = DatasetDict({"train": rows, test: rows})
    monkeypatch.setattr(sets, "_read", lambda *_: (found, "a" * 40))
    line = f"^{GLUE} at revision aaaaaaaaaaaa: {re.escape(words)}.*--revisions FILE`$"
    with pytest.raises(WorkbookError, match=line):
        sets.load("sst2", revision="a" * 40)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("glue",), "no Hub set is called 'glue'; there are cola, sst2, "),
        (("sst2", "dev"), "split is 'dev'; it must be 'train' or 'test'"),
        (("sst2", None, 0), "limit is 0; it must be a whole number, 1 or more"),
        (("sst2",), "offline mode .* run `workbook prefetch --sets sst2` again with"),
    ],
)
def test_a_wrong_request_is_one_clear_line(arguments, words):
    with pytest.raises(WorkbookError, match=f"^[^\n]*{words}[^\n]*$"):
        sets.load(*arguments)


@pytest.fixture(scope="module")
def story(hub, tmp_path_factory):
    """A fetch that broke, the same again, all of it offline, a class with its file."""
    home, given = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("class")
    fetch = COMMAND.format(["prefetch", "--models", "--sets", "sst2", "squad"], True)
    told, steps = SimpleNamespace(file=home / "workbook" / "revisions.json"), {}
    hub.breaks = {BERT: (11_000_000, 1), SQUAD: (100, 99)}  # once, and for good
    for step, code in {"broken": fetch, "again": fetch, "offline": OPEN}.items():
        hub.requests.clear()
        steps[step] = hub.python(home, code, HF_HUB_OFFLINE=str(int(step == "offline")))
        hub.breaks = {}
        steps[step].asked = list(hub.requests)
        steps[step].known = {*cache.recorded_revisions(told.file)}
    later = dataset_files(LAYOUT["datasets"][GLUE], rows=3)
    hub.add("datasets", GLUE, later, commit_of("later"))
    shutil.copy(told.file, given)
    pinned = ["prefetch", "--sets", "sst2", "--revisions", str(given / told.file.name)]
    told.given = hub.python(given, COMMAND.format(pinned, False) + THEN)
    del hub.repos["datasets", GLUE][commit_of("later")]
    vars(told).update(steps)
    return told


def test_a_fetch_says_what_it_takes_and_goes_on_where_it_broke(story):
    lines, last = story.broken.stdout.splitlines(), story.broken.stderr.splitlines()[-1]
    assert re.match(r"bert-base-uncased +\S+MB +86b5e0934494$", lines[0])
    assert re.match(rf"sst2 \({GLUE}\) +\S+kB +{commit_of(GLUE)[:12]}$", lines[4])
    assert re.match(r"to fetch: (\S+) of \1; takes up to \S+ on a disk with", lines[6])
    assert re.match("Error: rajpurkar/squad at .* finished files are kept", last)
    assert story.broken.known == {*prefetch.models(), GLUE}
    assert story.again.returncode == 0, story.again.stderr
    large = {path.split("/resolve")[0] for _, path, _ in story.again.asked}
    assert {p for p in large if "/cdn" in p} == {"/cdn/datasets/rajpurkar/squad"}
    assert story.again.stdout.count(", here already") == 5
    assert "\nsst2: 30 + 30 rows\nsquad: 30 + 30 rows\n" in story.again.stdout


def test_of_a_model_only_safetensors_config_and_tokenizer_are_fetched(story):
    asked = [(path, at) for _, path, at in story.broken.asked if "/resolve/" in path]
    models = [path for path, _ in asked if "/datasets/" not in path]
    assert {path.rsplit("/", 1)[1] for path in models} <= {*prefetch.MODEL_FILES}
    assert "/onnx/" not in " ".join(models)
    ranges = [at for path, at in asked if path.startswith("/cdn/google-bert/")]
    assert ranges == ["", f"bytes={10 * 2**20}-"]  # broken off, taken up in mid file


def test_afterwards_all_of_it_opens_offline_and_a_class_gets_the_same(story):
    assert story.offline.returncode == 0, story.offline.stderr
    assert story.offline.asked == []
    assert story.offline.stdout.count("[1, 6, 96]") == 8
    assert story.offline.stdout.endswith("True\n")
    assert story.given.stdout.endswith("\n[30, 3, 30]\n"), story.given.stderr


def test_what_cannot_be_fetched_is_told_before(monkeypatch):
    from click.testing import CliRunner

    from helpers.cli import main

    said = CliRunner().invoke(main, ["prefetch"]).output
    assert "say what: --models, --all, or --sets with names of cola, sst2" in said
    parts = [prefetch.Part("a", "a", "0", 440, *need) for need in ((400, 0), (10, 60))]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=470))
    assert prefetch.check_room(parts) == (470, 470)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=469))
    with pytest.raises(WorkbookError, match="room: 470B needed and 469B free"):
        prefetch.check_room(parts)
    monkeypatch.setattr(prefetch, "snapshot_download", lambda *_, **__: [])
    with pytest.raises(WorkbookError, match="a at revision 00 has no config"):
        prefetch._sizes("a", "model", "00", [], ["config"])


def test_revisions_are_kept_side_by_side_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_HOME", str(tmp_path))
    assert cache.recorded_revisions() == {}
    for repo, digit in (("a/b", "1"), ("c", "2"), ("a/b", "3")):
        cache.record_revision(repo, digit * 40)
    assert cache.recorded_revisions() == {"a/b": "3" * 40, "c": "2" * 40}
    for content, words in {
        "{": "expected one JSON object, {repository: commit}",
        '{"a/b": 3}': "expected one JSON object, {repository: commit}",
        '{"a/b": "main"}': "the revision of a/b is 'main'; expected 40 hex digits",
    }.items():
        cache.revisions_file().write_text(content)
        with pytest.raises(WorkbookError, match=re.escape(f"revisions.json: {words}")):
            cache.recorded_revisions()
