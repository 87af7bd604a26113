"""`workbook prefetch` against a stand-in Hub: broken connections, revisions, then offline."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
from hub_rows import serve_sets
from stand_in_hub import commit_of, standing_in, write_model, write_set

from helpers import prefetch, revisions
from helpers.errors import WorkbookError
from helpers.hub_files import Listing
from helpers.prefetch import MODEL_FILES, Part, check_room, models, size
from helpers.profiles import HUB_REVISIONS

COMMAND = """
import sys
from helpers.cli import main
sys.argv = ["workbook", "prefetch", *{arguments!r}]
main()
"""
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
WEIGHTS = {repo: f"{repo}/resolve/{HUB_REVISIONS[repo]}/model.safetensors" for repo in models()}
SQUAD = "plain_text/train-00000-of-00001.parquet"
BROKEN_AT = 11_000_000  # after the first piece of 10 MB that the Hub's client keeps
OPEN_ALL = """
import json
from datasets import disable_progress_bars, load_dataset
from transformers import AutoModelForMaskedLM, AutoTokenizer
from helpers import hub_sets
from helpers.prefetch import models
from helpers.revisions import recorded_revision
disable_progress_bars()
report = {}
for repo in models():
    for revision in (recorded_revision(repo), None):
        tokenizer = AutoTokenizer.from_pretrained(repo, revision=revision)
        model = AutoModelForMaskedLM.from_pretrained(repo, revision=revision)
        ids = tokenizer("a [MASK] day", return_tensors="pt").input_ids
        report[f"{repo} {revision}"] = list(model(ids).logits.shape)
for name in ("sst2", "squad"):
    report[name] = hub_sets.load(name)["test"].to_list()
report["plain"] = load_dataset("nyu-mll/glue", "sst2")["validation"]["sentence"][:]
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repos")
    with standing_in() as hub:
        serve_sets(hub, folder)
        for repo, kind in zip(models(), ("BERT", "DistilBERT"), strict=True):
            hub.add("models", repo, write_model(folder / repo, kind), HUB_REVISIONS[repo])
        yield hub


@pytest.fixture(scope="module")
def fetch(hub):
    """Runs `workbook prefetch` with a home folder and arguments."""

    def run(home, *arguments, **environment):
        return hub.python(home, COMMAND.format(arguments=arguments), **environment)

    return run


@pytest.fixture(scope="module")
def story(hub, fetch, tmp_path_factory):
    """What happened, in order: a fetch that broke, the same again, and all of it opened offline."""
    home = tmp_path_factory.mktemp("home")
    wanted = ("--models", "--sets", "sst2", "squad")
    teacher, student = models()
    told = SimpleNamespace(home=home, teacher=teacher, student=student)
    hub.break_off(f"{teacher}/model.safetensors", BROKEN_AT)  # once: the client goes on by itself
    hub.break_off(SQUAD, 100, times=99)  # for good: the command has to give up
    told.broken = fetch(home, *wanted)
    told.then = revisions.read(home / "workbook" / "revisions.json")
    told.first = list(hub.requests)
    hub.breaks.clear()
    hub.requests.clear()
    told.again = fetch(home, *wanted)
    told.second = list(hub.requests)
    hub.requests.clear()
    told.offline = hub.python(home, OPEN_ALL, **OFFLINE)
    told.third = list(hub.requests)
    return told


def gets(requests, end):
    return [r for method, path, r in requests if method == "GET" and path.endswith(end)]


def test_sizes_and_room_are_told_before_anything_is_fetched(story):
    lines = story.broken.stdout.splitlines()
    assert re.match(rf"{story.teacher} +\d+\.\d MB +{HUB_REVISIONS[story.teacher][:12]}$", lines[0])
    assert re.match(
        rf"sst2 \(nyu-mll/glue\) +\d+\.\d kB +{commit_of('nyu-mll/glue')[:12]}$", lines[2]
    )
    assert re.match(
        r"to fetch: (\S+ MB) of \1; takes up to \S+ MB on a disk with .* free$", lines[4]
    )


def test_a_connection_that_breaks_is_taken_up_in_mid_file(story):
    begun = gets(story.first, WEIGHTS[story.teacher])
    assert begun[0] == ""
    assert len(begun) == 2
    start = int(re.fullmatch(r"bytes=(\d+)-", begun[1])[1])
    assert 10_000_000 <= start <= BROKEN_AT


def test_a_connection_that_stays_broken_is_one_clear_line(story):
    assert story.broken.returncode == 1
    last = story.broken.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: rajpurkar/squad at revision ")
    assert last.endswith(
        "the connection to the Hub failed: run `workbook prefetch` again with a network, "
        "finished files are kept"
    )
    assert set(story.then) == {*models(), "nyu-mll/glue"}


def test_the_second_try_fetches_only_what_is_missing(story):
    assert story.again.returncode == 0, story.again.stderr
    got = [path for method, path, _ in story.second if method == "GET" and "/resolve/" in path]
    assert [path.rpartition("/")[2] for path in got] == [SQUAD.rpartition("/")[2]]
    assert gets(story.second, SQUAD) == [""]
    assert story.again.stdout.count(", here already") == 3
    assert "sst2: 36 + 12 rows\nsquad: 36 + 12 rows\n" in story.again.stdout


def test_only_safetensors_config_and_tokenizer_are_fetched(story):
    models_got = [
        path for _, path, _ in story.first if path.startswith(tuple(f"/{m}/" for m in models()))
    ]
    assert {path.partition("/resolve/")[2].partition("/")[2] for path in models_got} <= set(
        MODEL_FILES
    )
    assert len(gets(story.first, WEIGHTS[story.student])) == 1


def test_revisions_are_written_down(story):
    path = story.home / "workbook" / "revisions.json"
    assert str(path) in story.again.stdout
    assert revisions.read(path) == HUB_REVISIONS | {
        "nyu-mll/glue": commit_of("nyu-mll/glue"),
        "rajpurkar/squad": commit_of("rajpurkar/squad"),
    }


def test_afterwards_everything_opens_offline(story):
    assert story.offline.returncode == 0, story.offline.stderr
    assert story.third == []
    report = json.loads(story.offline.stdout)
    for repo in models():
        for revision in (HUB_REVISIONS[repo], None):
            assert report[f"{repo} {revision}"] == [1, 5, 30_522]
    assert len(report["sst2"]) == len(report["squad"]) == 12
    assert report["plain"] == [row["text"] for row in report["sst2"]]


@pytest.fixture(scope="module")
def moved(hub, story, tmp_path_factory):
    """The set changes on the Hub: one row more. The commit that came after."""
    from datasets import Dataset

    served = hub.repos["datasets", "nyu-mll/glue"]
    old = next(iter(served.values()))
    path = "sst2/{}-00000-of-00001.parquet"
    splits = {s: Dataset.from_parquet(str(old / path.format(s))) for s in ("train", "validation")}
    splits["validation"] = splits["validation"].select([0, 1, 2])
    commit = commit_of("glue, later")
    hub.add(
        "datasets",
        "nyu-mll/glue",
        write_set(tmp_path_factory.mktemp("later"), {"sst2": splits}),
        commit,
    )
    return commit


def test_a_class_gets_the_revisions_of_its_file(fetch, hub, story, moved, tmp_path):
    given = tmp_path / "revisions.json"
    shutil.copy(story.home / "workbook" / "revisions.json", given)
    assert list(hub.repos["datasets", "nyu-mll/glue"])[-1] == moved  # what others get by now
    same = fetch(tmp_path / "class", "--sets", "sst2", "--revisions", str(given))
    assert "sst2: 36 + 12 rows" in same.stdout, same.stderr
    found = revisions.read(tmp_path / "class" / "workbook" / "revisions.json")
    assert found == {"nyu-mll/glue": commit_of("nyu-mll/glue")} != {"nyu-mll/glue": moved}


def test_what_was_recorded_is_loaded_though_the_hub_moved_on(hub, story, moved):
    code = """
from helpers.hub_sets import load
print([len(load("sst2", revision=revision)["test"]) for revision in (None, "main")])
"""
    assert hub.python(story.home, code).stdout == "[12, 3]\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what: --models, --all, or --sets with names of cola, sst2"),
        (("--sets", "sst2", "sst-2"), "Error: no Hub set is called 'sst-2'; there are cola, sst2"),
        (("--all", "--revisions", "none.json"), "Error: none.json cannot be read (No such file"),
        (("--models",), "Error: bert-base-uncased at revision 86b5e0934494 is not whole on this"),
    ],
)
def test_a_bad_request_is_refused_before_the_hub_is_asked(arguments, words, cache_home):
    from click.testing import CliRunner

    from helpers.cli import main

    done = CliRunner().invoke(main, ["prefetch", *arguments])
    assert done.exit_code != 0
    assert words in done.output
    assert not revisions.recorded().exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "expected JSON, as `workbook prefetch` writes it"),
        ("[]", "expected one JSON object"),
        ('{"a/b": "main"}', "the revision of a/b is 'main'; expected 40 hex digits"),
        ('{"a/b": 3}', "the revision of a/b is 3; expected 40 hex digits"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_file_of_revisions_is_one_clear_line(tmp_path, content, words):
    path = tmp_path / "class.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(WorkbookError, match=re.escape(words)) as raised:
        revisions.read(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_revisions_are_kept_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_HOME", str(tmp_path))
    assert revisions.recorded_revision("a/b") is None
    revisions.record("a/b", "1" * 40)
    revisions.record("c", "2" * 40)
    revisions.record("a/b", "3" * 40)
    assert revisions.recorded_revision("a/b") == "3" * 40
    assert revisions.recorded_revision("c") == "2" * 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["revisions.json", "revisions.lock"]


def part(kind, megabytes, here=0, unpacked=0):
    listing = Listing("0" * 40, {"file": megabytes * 10**6}, here * 10**6)
    return Part("it", "an/it", kind, (), listing, unpacked * 10**6)


def test_too_little_room_is_told_before_the_fetch(monkeypatch):
    parts = [part("model", 440, here=40), part("dataset", 10, unpacked=60)]
    needed = (440 - 40 + 10 + 60) * 10**6
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    assert check_room(parts) == (needed, needed)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(
        WorkbookError, match=r"too little room: 470\.0 MB needed and 470\.0 MB free"
    ):
        check_room(parts)


def test_what_a_set_takes_unpacked_is_what_its_readme_says(monkeypatch):
    fields = {"dataset_info": {"config_name": "plain_text", "dataset_size": 700}}
    cards = {"rajpurkar/squad": fields, "rajpurkar/squad_v2": {}}
    monkeypatch.setattr(prefetch.hub_files, "card", lambda repo, _: ("b" * 40, cards[repo]))
    monkeypatch.setattr(prefetch.hub_files, "listing", lambda *_: Listing("b" * 40, {"f": 100}, 0))
    assert [p.unpacked for p in prefetch.plan(False, ("squad", "squad_v2"))] == [1400, 800]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (440_449_768, "440.4 MB"), (2e12, "2.0 TB")],
)
def test_sizes_are_told_as_disks_count_them(count, text):
    assert size(count) == text


def test_a_model_without_safetensors_is_refused(monkeypatch):
    monkeypatch.setattr(
        prefetch.hub_files, "listing", lambda *_: Listing("a" * 40, {"config.json": 10}, 0)
    )
    with pytest.raises(WorkbookError, match=r"bert-base-uncased at .* has no model\.safetensors"):
        prefetch.plan(True, ())


def test_every_set_of_one_repository_gets_one_revision(monkeypatch):
    asked = []

    def card(repo, revision):
        asked.append(revision)
        return "b" * 40, {}

    monkeypatch.setattr(prefetch.hub_files, "card", card)
    monkeypatch.setattr(
        prefetch.hub_files, "listing", lambda repo, kind, files, commit: Listing(commit, {}, 0)
    )
    parts = prefetch.plan(False, ("sst2", "rte", "squad"), {"rajpurkar/squad": "c" * 40})
    assert asked == [None, "b" * 40, "c" * 40]
    assert [p.name for p in parts] == ["sst2", "rte", "squad"]
