"""The data sets of the Hub: a table, and `load`, in the schema of each set's head.

    load("sst2")              text, label                 train and test, whole
    load("mnli", limit=1000)  text, text_pair, label      a thousand rows of each split

`datasets` reads a set at one commit, in whatever layout the Hub has it; the commit is
written down in `revisions.json` (`helpers.core.cache`). What was built once opens
offline; `helpers.data.prefetch` builds beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetBuilder, DatasetDict, load_dataset_builder
from huggingface_hub import HfApi, errors

from helpers.core.cache import record_revision, recorded_revisions
from helpers.core.errors import WorkbookError
from helpers.data.schemas import CHOICES, NAMED, features, label_names

PREFETCH = "workbook prefetch"
GLUE, CLASS, DEV = "nyu-mll/glue", "classification", "validation"
PAIR, ASKED = "text=sentence1 text_pair=sentence2", "context question answers"
SWAG = "context=sent1 start=sent2 ending0 ending1 ending2 ending3 label"


@dataclass(frozen=True)
class HubSet:
    """Where a set lies; `named`: which columns become which ("ours=theirs", or "both").

    `test` is the split to test on: the first whose labels are public.
    """

    repo: str
    config: str
    head: str
    named: str
    test: str = "test"

    @property
    def columns(self) -> dict[str, str]:
        """{column of the Hub: column of the head's schema}."""
        pairs = (name.partition("=") for name in self.named.split())
        return {theirs or ours: ours for ours, _, theirs in pairs}


# fmt: off
SETS = {
    "cola": HubSet(GLUE, "cola", CLASS, "text=sentence label", DEV),
    "sst2": HubSet(GLUE, "sst2", CLASS, "text=sentence label", DEV),
    "mrpc": HubSet(GLUE, "mrpc", CLASS, f"{PAIR} label", DEV),
    "qqp": HubSet(GLUE, "qqp", CLASS, "text=question1 text_pair=question2 label", DEV),
    "stsb": HubSet(GLUE, "stsb", "similarity", f"{PAIR} score=label", DEV),
    "mnli": HubSet(
        GLUE, "mnli", CLASS, "text=premise text_pair=hypothesis label",
        f"{DEV}_matched"),
    "qnli": HubSet(GLUE, "qnli", CLASS, "text=question text_pair=sentence label", DEV),
    "rte": HubSet(GLUE, "rte", CLASS, f"{PAIR} label", DEV),
    "wnli": HubSet(GLUE, "wnli", CLASS, f"{PAIR} label", DEV),
    "imdb": HubSet("stanfordnlp/imdb", "plain_text", CLASS, "text label"),
    "ag_news": HubSet("fancyzhx/ag_news", "default", CLASS, "text label"),
    "go_emotions": HubSet(
        "google-research-datasets/go_emotions", "simplified", "multilabel",
        "text label=labels"),
    "conll2003": HubSet(
        "lhoestq/conll2003", "default", "tokens", "tokens tags=ner_tags"),
    # its home, leondz/wnut_17, is a script, which `datasets` no longer runs
    "wnut_17": HubSet("manu/wnut_17", "default", "tokens", "tokens tags=ner_tags"),
    "squad": HubSet("rajpurkar/squad", "plain_text", "questions", ASKED, DEV),
    "squad_v2": HubSet("rajpurkar/squad_v2", "squad_v2", "questions", ASKED, DEV),
    "swag": HubSet("allenai/swag", "regular", "choices", SWAG, DEV),
    "wikitext": HubSet("Salesforce/wikitext", "wikitext-2-raw-v1", "corpus", "text"),
}
# fmt: on


def find(name: str) -> HubSet:
    """The set of this name in the table."""
    if name not in SETS:
        there = ", ".join(SETS)
        raise WorkbookError(f"no Hub set is called {name!r}; there are {there}")
    return SETS[name]


def load(
    name: str, split: str | None = None, limit: int | None = None, revision: str = ""
) -> DatasetDict:
    """The set `name`, "train" and "test" or the `split` asked for, in its schema.

    `limit`: at most so many rows of a split, taken evenly from all of it. `revision`: a
    commit or branch; by default the recorded one, else the newest, which is recorded.
    """
    hub_set = find(name)
    if split not in (None, "train", "test"):
        raise WorkbookError(f"split is {split!r}; it must be 'train' or 'test'")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise WorkbookError(f"limit is {limit!r}; it must be a whole number, 1 or more")
    at = revision or recorded_revisions().get(hub_set.repo, "")
    with explained(hub_set.repo, at, f"{PREFETCH} --sets {name}"):
        raw, commit = _read(hub_set, at)
        splits = {"train": "train", "test": hub_set.test}
        if lost := {*splits.values()} - {*raw}:
            raise ValueError(f"no split {lost} among {', '.join(raw)}")
        wanted = [s for s in splits if split in (None, s)]
        sets = {s: _in_schema(hub_set, raw[splits[s]], limit) for s in wanted}
    if not at:
        record_revision(hub_set.repo, commit)
    return DatasetDict(sets)


def _read(hub_set: HubSet, revision: str) -> tuple[DatasetDict, str]:
    """(the set as the Hub has it, its commit); fetched unless it was built here."""
    from datasets.packaged_modules.cache.cache import Cache

    # load_dataset alone asks the Hub every time, and offline takes what was built last
    place = {"repo_id": hub_set.repo, "dataset_name": hub_set.repo.partition("/")[2]}
    built = Cache(config_name=hub_set.config, hash=revision or "none", **place)
    if Path(built.cache_dir).exists():
        return built.as_dataset(), revision
    found = builder(hub_set, revision)
    found.download_and_prepare()
    return found.as_dataset(), str(found.hash)


def builder(hub_set: HubSet, revision: str = "") -> DatasetBuilder:
    """What `load_dataset(repo, config, revision=...)` builds with, at one commit."""
    commit = str(HfApi().dataset_info(hub_set.repo, revision=revision or None).sha)
    found = load_dataset_builder(hub_set.repo, hub_set.config, revision=commit)
    if found.hash != commit:  # it fell back on another commit in its cache
        raise ValueError(f"`datasets` cannot read {commit[:12]}")
    return found


def _in_schema(hub_set: HubSet, rows: Dataset, limit: int | None) -> Dataset:
    head, columns, count = hub_set.head, hub_set.columns, len(rows)
    if limit and limit < count:  # evenly: IMDb begins with one label only
        rows = rows.select([i * count // limit for i in range(limit)])
    rows = rows.select_columns(list(columns))
    rows = rows.rename_columns({t: ours for t, ours in columns.items() if t != ours})
    column = "tags" if head == "tokens" else "label"
    names = label_names(rows, column) if head in NAMED else ()
    target = features(head, names, pair=head == CLASS and "text_pair" in rows.features)
    if head == "choices":
        return rows.map(_choices, remove_columns=rows.column_names, features=target)
    if head == "corpus":
        rows = rows.map(lambda row: {"text": row["text"].strip()})
        rows = rows.filter(lambda row: bool(row["text"]))
    rows = rows.select_columns(list(target))
    return rows if rows.features == target else rows.cast(target)


def _choices(row: dict[str, Any]) -> dict[str, Any]:
    """As BERT's authors read SWAG: a sentence, the next one's start and an ending."""
    endings = [f"{row['start']} {row[f'ending{i}']}" for i in range(CHOICES)]
    return {"context": row["context"], "choices": endings, "label": row["label"]}


@contextmanager
def explained(repo: str, at: str, command: str = PREFETCH) -> Iterator[None]:
    """Turn what goes wrong with `repo` at a revision into one line."""
    try:
        yield
    except WorkbookError:
        raise
    except Exception as error:
        advice = f"run `{command}` again with a network, finished files are kept"
        if isinstance(error, errors.RevisionNotFoundError):
            advice = "correct the revision, or its line in revisions.json"
        elif type(error) is ValueError:
            advice = f"it has changed: pin a commit, `{PREFETCH} --revisions FILE`"
        where = f"{repo} at revision {at[:12]}" if at else repo
        line = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise WorkbookError(f"{where}: {line}; {advice}") from error
