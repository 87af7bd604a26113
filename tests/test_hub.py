"""Sets and models of the Hub, through a Hub that stands in for the real one."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
from stand_in_hub import NOWHERE, StandInHub, commit_of, dataset_files, model_files
from stand_in_hub import LAYOUTS as LAYOUT

from helpers import cache
from helpers.data import hub as sets
from helpers.data import prefetch, schemas
from helpers.errors import WorkbookError
from helpers.profiles import HUB_REVISIONS

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
import json
from datasets import load_dataset
from transformers import AutoModel, AutoTokenizer
from helpers.checkpoints import bert, distilbert
from helpers.data import hub
tuned = [distilbert("full", task=task) for task in ("sentiment", "questions")]
for place in (bert("full"), distilbert("full"), *tuned):
    for at in (place.revision, None):
        tokenizer = AutoTokenizer.from_pretrained(place, revision=at)
        ids = tokenizer("A fine day.", return_tensors="pt").input_ids
        model = AutoModel.from_pretrained(place, revision=at)
        print(place, list(model(ids).last_hidden_state.shape))
plain = load_dataset("nyu-mll/glue", "sst2")["validation"]["sentence"][:]
print(plain == hub.load("sst2")["test"]["text"][:])
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub = StandInHub()
    for repo, layout in LAYOUT["datasets"].items():
        hub.add("datasets", repo, dataset_files(layout, ROWS), commit_of(repo))
    for repo, layout in LAYOUT["models"].items():
        made = model_files(layout, tmp_path_factory.mktemp("model"))
        commit = HUB_REVISIONS.get(layout["also"], commit_of(repo))
        hub.add("models", repo, made, commit)
        hub.moved[layout["also"]] = repo
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
    hub_set = sets.SETS[name]
    configs = {c["config_name"]: c for c in LAYOUT["datasets"][hub_set.repo]["configs"]}
    config = configs.get(hub_set.config) or configs["lhoestq--conll2003"]
    types = {c["name"]: c.get("sequence", c.get("dtype")) for c in config["features"]}
    (label,) = [
        types[t] for t, o in hub_set.columns.items() if o in ("label", "tags")
    ] or [0]
    names = (
        label["class_label"]["names"].values() if hub_set.head in schemas.NAMED else ()
    )
    pair = hub_set.head == "classification" and "text_pair" in hub_set.named
    expected = str(dict(schemas.features(hub_set.head, list(names), pair=pair)))
    assert list(loaded[name]) == ["train", "test"]
    for features, rows in loaded[name].values():
        assert features == expected
        assert len(rows) == (ROWS if hub_set.head != "corpus" else ROWS * 2 // 3)
        assert not [row for row in rows if None in row.values() or -1 in row.values()]


@pytest.mark.parametrize(
    ("name", "row"),
    {
        "qnli": ("qnli validation question 1", "qnli validation sentence 1", 1),
        "stsb": ("stsb validation sentence1 1", "stsb validation sentence2 1", 0.5),
        "go_emotions": ("simplified test text 1", [0, 0, 1]),
        "conll2003": (["lhoestq--conll2003 test tokens 1"] * 3, [0, 0, 1]),
        "wikitext": ("wikitext-2-raw-v1 test line 2 .",),
    }.items(),
)
def test_columns_land_where_they_belong(loaded, name, row):
    assert tuple(loaded[name]["test"][1][1].values()) == row


def test_splits_answers_and_choices_are_those_of_the_set(loaded):
    rows = {name: loaded[name]["test"][1] for name in sets.SETS}
    assert rows["mnli"][0]["text"] == "mnli validation_matched premise 0"
    ending = "regular validation sent2 1 regular validation ending3 1"
    assert rows["swag"][1]["choices"][3] == ending
    for row in (*rows["squad"], *rows["squad_v2"]):
        for text, start in zip(*row["answers"].values(), strict=True):
            assert row["context"][start : start + len(text)] == text
    assert sum(not row["answers"]["text"] for row in rows["squad_v2"]) == ROWS / 3
    few = [row["text"] for row in loaded["few"]["test"][1]]  # evenly from all of it
    assert few == [f"plain_text test text {i}" for i in (0, 7, 15, 22)]


@pytest.mark.parametrize(
    ("columns", "test", "words"),
    [
        (("sentence", "label"), "dev", "no split {'validation'} among train, dev"),
        (
            ("text", "label"),
            "validation",
            "Column name ['sentence'] not in the dataset",
        ),
        (("sentence", "label"), "validation", "classification needs names of labels"),
    ],
)
def test_a_set_that_changed_is_one_clear_line(monkeypatch, columns, test, words):
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_dict(dict(zip(columns, (["a"], [0]), strict=True)))
    found = DatasetDict({"train": rows, test: rows})
    monkeypatch.setattr(sets, "_read", lambda *_: (found, "a" * 40))
    with pytest.raises(WorkbookError, match=re.escape(words)) as raised:
        sets.load("sst2", revision="a" * 40)
    assert str(raised.value).startswith(f"{GLUE} at revision aaaaaaaaaaaa: ")
    assert "pin a commit, `workbook prefetch --revisions FILE`" in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("glue",), "no Hub set is called 'glue'; there are cola, sst2, "),
        (("sst2", "dev"), "split is 'dev'; it must be 'train' or 'test'"),
        (("sst2", None, 0), "limit is 0; it must be a whole number, 1 or more"),
        (
            ("sst2",),
            "offline mode is enabled.* run `workbook prefetch --sets sst2` again",
        ),
    ],
)
def test_a_wrong_request_is_one_clear_line(arguments, words):
    with pytest.raises(WorkbookError, match=words) as raised:
        sets.load(*arguments)
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def story(hub, tmp_path_factory):
    """A fetch that broke, the same again, all of it offline, a class with its file."""
    home, given = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("class")
    told = SimpleNamespace(file=home / "workbook" / "revisions.json")
    fetch = COMMAND.format(["prefetch", "--models", "--sets", "sst2", "squad"], True)
    hub.breaks = {BERT: (11_000_000, 1), SQUAD: (100, 99)}  # once, and for good
    hub.requests.clear()
    told.broken, told.first = hub.python(home, fetch), list(hub.requests)
    told.then = cache.recorded_revisions(told.file)
    hub.breaks.clear()
    hub.requests.clear()
    told.again, told.second = hub.python(home, fetch), list(hub.requests)
    hub.requests.clear()
    told.offline = hub.python(home, OPEN, HF_HUB_OFFLINE="1")
    told.third = list(hub.requests)
    later = dataset_files(LAYOUT["datasets"][GLUE], rows=3)
    hub.add("datasets", GLUE, later, commit_of("later"))
    shutil.copy(told.file, given)
    pinned = ["prefetch", "--sets", "sst2", "--revisions", str(given / told.file.name)]
    told.given = hub.python(given, COMMAND.format(pinned, False) + THEN)
    del hub.repos["datasets", GLUE][commit_of("later")]
    return told


def test_sizes_and_room_are_told_before_anything_is_fetched(story):
    lines = story.broken.stdout.splitlines()
    assert re.match(
        rf"bert-base-uncased +\S+MB +{HUB_REVISIONS['bert-base-uncased'][:12]}",
        lines[0],
    )
    assert re.match(rf"sst2 \({GLUE}\) +\S+kB +{commit_of(GLUE)[:12]}$", lines[4])
    room = r"to fetch: (\S+MB) of \1; takes up to \S+MB on a disk with \S+ free$"
    assert re.match(room, lines[6])


def test_a_connection_that_breaks_is_taken_up(story):
    weights = f"resolve/{HUB_REVISIONS['bert-base-uncased']}/model.safetensors"
    got = [
        at for how, path, at in story.first if how == "GET" and path.endswith(weights)
    ]
    assert got == ["", f"bytes={10 * 2**20}-"]  # in mid file: the client keeps 10 MiB
    assert story.broken.returncode == 1
    assert re.search(
        f"^Error: rajpurkar/squad at revision .* run `workbook prefetch --sets squad` "
        "again with a network, finished files are kept$",
        story.broken.stderr.strip().splitlines()[-1],
    )
    assert {*story.then} == {*prefetch.models(), GLUE}
    assert story.again.returncode == 0, story.again.stderr
    large = [path for _, path, _ in story.second if path.startswith("/cdn/")]
    assert {path.split("/resolve")[0] for path in large} == {
        "/cdn/datasets/rajpurkar/squad"
    }
    assert story.again.stdout.count(", here already") == 5
    assert "\nsst2: 30 + 30 rows\nsquad: 30 + 30 rows\n" in story.again.stdout
    assert f"its revisions are in {story.file}" in story.again.stdout


def test_of_a_model_only_safetensors_config_and_tokenizer_are_fetched(story):
    paths = [path for _, path, _ in story.first if "/resolve/" in path]
    names = {p.rsplit("/", 1)[1] for p in paths if not re.match("(/cdn)?/datasets/", p)}
    assert names <= set(prefetch.MODEL_FILES)
    assert not [path for path in paths if "/onnx/" in path or "unsupervised" in path]


def test_afterwards_all_of_it_opens_offline_and_a_class_gets_the_same(story):
    assert story.offline.returncode == 0, story.offline.stderr
    assert story.third == []
    assert story.offline.stdout.count("[1, 6, 96]") == 8
    assert story.offline.stdout.endswith("True\n")
    assert cache.recorded_revisions(story.file)[GLUE] == commit_of(GLUE)
    assert story.given.stdout.endswith("\n[30, 3, 30]\n"), story.given.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what: --models, --all, or --sets with names of cola, sst2"),
        (
            ("--sets", "sst2", "sst-2"),
            "Error: no Hub set is called 'sst-2'; there are cola",
        ),
        (
            ("--all", "--revisions", "none.json"),
            "Error: none.json cannot be read (No such",
        ),
        (
            ("--models",),
            "Error: bert-base-uncased at revision 86b5e0934494: Cannot reach",
        ),
    ],
)
def test_a_bad_request_is_refused_before_the_hub_is_asked(arguments, words):
    from click.testing import CliRunner

    from helpers.cli import main

    done = CliRunner().invoke(main, ["prefetch", *arguments])
    assert done.exit_code != 0
    assert words in done.output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "expected one JSON object, {repository: commit}"),
        ("[]", "expected one JSON object, {repository: commit}"),
        ('{"a/b": 3}', "expected one JSON object, {repository: commit}"),
        ('{"a/b": "main"}', "the revision of a/b is 'main'; expected 40 hex digits"),
    ],
)
def test_a_bad_file_of_revisions_is_one_clear_line(tmp_path, content, words):
    path = tmp_path / "class.json"
    path.write_text(content)
    with pytest.raises(WorkbookError, match=re.escape(f"{path}: {words}")):
        cache.recorded_revisions(path)


def test_revisions_are_kept_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_HOME", str(tmp_path))
    assert cache.recorded_revisions() == {}
    for repo, digit in (("a/b", "1"), ("c", "2"), ("a/b", "3")):
        cache.record_revision(repo, digit * 40)
    assert cache.recorded_revisions() == {"a/b": "3" * 40, "c": "2" * 40}


def test_too_little_room_is_told_before_the_fetch(monkeypatch):
    parts = [
        prefetch.Part("a", "a", "0" * 40, 440, 400, 0),
        prefetch.Part("b", "b", "0" * 40, 10, 10, 60),
    ]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=470))
    assert prefetch.check_room(parts) == (470, 470)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=469))
    with pytest.raises(
        WorkbookError, match="too little room: 470B needed and 469B free"
    ):
        prefetch.check_room(parts)
