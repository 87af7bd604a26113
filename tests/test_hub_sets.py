"""Every Hub set becomes the contract of its head, through a Hub that stands in for the real one."""

import json
from dataclasses import replace

import pytest
from hub_rows import EMOTIONS, GLUE, NER, WNUT, serve_sets
from stand_in_hub import commit_of, standing_in, write_set

from helpers import hub_sets
from helpers.data import schemas
from helpers.errors import WorkbookError

NEWS = ["World", "Sports", "Business", "Sci/Tech"]
NAMES = {name: labels for name, (_, labels) in GLUE.items() if labels} | {
    "imdb": ["neg", "pos"],
    "ag_news": NEWS,
    "go_emotions": EMOTIONS,
    "conll2003": NER,
    "wnut_17": WNUT,
}
PAIRS = ("mrpc", "qqp", "mnli", "qnli", "rte", "wnli")
HEADS = {
    "stsb": "similarity", "go_emotions": "multilabel", "conll2003": "tokens", "wnut_17": "tokens",
    "squad": "questions", "squad_v2": "questions", "swag": "choices", "wikitext": "corpus",
}  # fmt: skip
each = pytest.mark.parametrize("name", hub_sets.SETS)

LOAD_ALL = """
import json
from datasets import disable_progress_bars
from helpers import hub_sets
disable_progress_bars()
def told(rows):
    return {"features": str(dict(rows.features)), "rows": rows.to_list()}
report = {}
for name in hub_sets.SETS:
    loaded = hub_sets.load(name)
    report[name] = {split: told(loaded[split]) for split in loaded}
few = hub_sets.load("imdb", split="test", limit=4)
report["few"] = {split: told(few[split]) for split in few}
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with standing_in() as hub:
        serve_sets(hub, tmp_path_factory.mktemp("repos"))
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def loaded(hub, home):
    done = hub.python(home, LOAD_ALL)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def complaint(hub, home):
    """Runs code that must fail with a `WorkbookError`; returns its one line."""

    def run(code, **environment):
        done = hub.python(home, f"from helpers import hub_sets\n{code}", **environment)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("helpers.errors.WorkbookError: "), done.stderr
        return last

    return run


@each
def test_each_set_has_its_heads_contract(loaded, name):
    head = HEADS.get(name, "classification")
    expected = schemas.features(head, NAMES.get(name, ()), pair=name in PAIRS)
    assert list(loaded[name]) == ["train", "test"]
    for split in loaded[name].values():
        assert split["features"] == str(dict(expected))
        assert all(list(row) == list(expected) for row in split["rows"])
        assert len(split["rows"]) >= 8
        assert all(value is not None for row in split["rows"] for value in row.values())


@each
def test_each_table_entry_names_the_heads_that_the_test_expects(name):
    assert hub_sets.SETS[name].head == HEADS.get(name, "classification")


@pytest.mark.parametrize("name", NAMES)
def test_every_label_is_known(loaded, name):
    key = "tags" if HEADS.get(name) == "tokens" else "label"
    for split in loaded[name].values():
        labels = [row[key] for row in split["rows"]]
        flat = labels if isinstance(labels[0], int) else [label for row in labels for label in row]
        assert set(flat) <= set(range(len(NAMES[name])))
        assert len(set(flat)) > 1


def test_hidden_labels_are_not_taken_for_a_test_split(loaded):
    for name in GLUE:
        split = "validation_matched" if name == "mnli" else "validation"
        assert all(f" {split} " in row["text"] for row in loaded[name]["test"]["rows"])
    assert all("validation" in row["context"] for row in loaded["swag"]["test"]["rows"])
    assert all(row["tokens"][0] == "test" for row in loaded["conll2003"]["test"]["rows"])


def test_columns_land_where_they_belong(loaded):
    row = {name: loaded[name]["train"]["rows"][1] for name in hub_sets.SETS}
    assert row["qnli"] == {
        "text": "qnli train question 1", "text_pair": "qnli train sentence 1", "label": 1,
    }  # fmt: skip
    assert row["stsb"]["score"] == 0.5
    assert row["go_emotions"] == {"text": "train 1", "label": [1, 27]}
    assert row["wnut_17"] == {"tokens": ["train", "goes", "Smith1"], "tags": [0, 0, 3]}
    assert row["swag"] == {
        "context": "Scene 1 of train.",
        "choices": [f"She does thing {n} in 1." for n in range(4)],
        "label": 1,
    }
    assert row["wikitext"] == {"text": "A line of the article ."}


def test_answers_stand_where_they_say(loaded):
    for name, without in (("squad", 0), ("squad_v2", 12)):
        rows = loaded[name]["train"]["rows"]
        for row in rows:
            for text, start in zip(*row["answers"].values(), strict=True):
                assert row["context"][start : start + len(text)] == text
        assert sum(not row["answers"]["text"] for row in rows) == without


def test_a_few_rows_are_taken_from_all_of_a_sorted_set(loaded):
    assert list(loaded["few"]) == ["test"]
    rows = loaded["few"]["test"]["rows"]
    assert [row["text"] for row in rows] == ["test 0", "test 5", "test 10", "test 15"]
    assert [row["label"] for row in rows] == [0, 0, 1, 1]


def test_only_the_files_of_the_config_and_split_are_fetched(hub, loaded):
    got = {path.rpartition("/resolve/")[2].partition("/")[2] for _, path, _ in hub.requests}
    assert "mnli/validation_matched-00000-of-00001.parquet" in got
    for absent in ("mnli/validation_mismatched", "mnli/test", "raw/", "full/", "wikitext-103"):
        assert not [path for path in got if path.startswith(absent)], absent
    assert not [path for path in got if "unsupervised" in path]


def test_every_request_went_to_the_stand_in_and_it_knew_them_all(hub, loaded):
    assert "http://127.0.0.1" in hub.url
    served = {repo for _, repo in hub.repos}
    assert served == {hub_set.repo for hub_set in hub_sets.SETS.values()}
    assert (
        len({path.split("/resolve/")[0] for _, path, _ in hub.requests if "resolve" in path}) == 10
    )


def test_no_name_split_limit_or_revision_is_one_clear_line(complaint):
    for arguments, words in (
        ("'glue'", "no Hub set is called 'glue'; there are cola, sst2, "),
        ("'sst2', split='dev'", "split is 'dev'; it must be 'train' or 'test'"),
        ("'sst2', limit=0", "limit is 0; it must be a whole number, 1 or more"),
    ):
        with pytest.raises(WorkbookError, match=words):
            eval(f"hub_sets.load({arguments})")
    commit = "f" * 40
    assert f"nyu-mll/glue at revision {commit[:12]}: the Hub has no such revision" in complaint(
        f"hub_sets.load('sst2', revision='{commit}')"
    )


def test_a_revision_that_was_loaded_opens_without_asking(hub, home, loaded):
    before = len(hub.requests)
    commit = commit_of("nyu-mll/glue")
    code = f"from helpers import hub_sets; print(len(hub_sets.load('rte', revision='{commit}')))"
    assert hub.python(home, code).stdout == "2\n"
    assert len(hub.requests) == before


def test_no_network_is_one_clear_line(complaint, tmp_path):
    load = "hub_sets.load('sst2')"
    gone = complaint(load, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert "the connection to the Hub failed: run `workbook prefetch --sets sst2` again" in gone
    offline = complaint(load, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert (
        "HF_HUB_OFFLINE forbids to fetch it: unset that and run `workbook prefetch --sets sst2`"
        in offline
    )


@pytest.fixture(scope="module")
def changes(hub, home, tmp_path_factory):
    """What `load` says of sets that changed on the Hub, each at a commit of its own."""
    from datasets import Dataset

    whole = Dataset.from_dict({"sentence": ["a"], "label": [0]})
    renamed = whole.rename_column("sentence", "text")
    repos = {
        "config": {"sst-2": {"train": whole, "validation": whole}},
        "split": {"sst2": {"train": whole, "dev": whole}},
        "column": {"sst2": {"train": renamed, "validation": renamed}},
        "label": {"sst2": {"train": whole, "validation": whole}},
    }
    main = dict(hub.repos["datasets", "nyu-mll/glue"])
    for what, configs in repos.items():
        folder = write_set(tmp_path_factory.mktemp(what), configs)
        hub.add("datasets", "nyu-mll/glue", folder, commit_of(what))
    code = f"""
from helpers import hub_sets
for commit in {[commit_of(what) for what in repos]}:
    try:
        hub_sets.load("sst2", revision=commit)
    except hub_sets.WorkbookError as error:
        print(error)
"""
    done = hub.python(home, code)
    hub.repos["datasets", "nyu-mll/glue"] = main
    assert done.returncode == 0, done.stderr
    return dict(zip(repos, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("config", "no config 'sst2' among sst-2; "),
        ("split", "no split 'validation' among train, dev; "),
        ("column", "no column 'sentence' among text, label; "),
        ("label", "column 'label' does not name its labels; "),
    ],
)
def test_a_set_that_changed_is_one_clear_line(changes, what, words):
    assert "has changed: " in changes[what]
    assert words in changes[what]
    assert changes[what].endswith("`workbook prefetch --revisions FILE`")


def test_the_readme_may_write_its_files_in_several_ways():
    one = replace(hub_sets.SETS["imdb"], config=None)
    fields = {"configs": [{"config_name": "x", "data_files": "a.parquet"}]}
    assert hub_sets.splits(one, fields) == {"train": ["a.parquet"]}
    by_split = [{"split": "train", "path": ["a/*", "b/*"]}, {"split": "test", "path": "c"}]
    fields["configs"].append({"config_name": "y", "data_files": by_split, "default": True})
    assert hub_sets.splits(one, fields) == {"train": ["a/*", "b/*"], "test": ["c"]}
    assert hub_sets.patterns({"train": ["a/*", "b/*"]}) == ["README.md", "a/*", "b/*"]
    assert hub_sets.patterns(hub_sets.splits(one, {})) == ["README.md", "*.parquet"]
