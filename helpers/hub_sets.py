"""The Hub's well-known data sets, each in the contract of its head (`helpers.contracts`).

    load("sst2")                  text, label            train and test, whole
    load("mnli", limit=1000)      text, text_pair, label  a thousand rows of each split

Names of labels come from the sets' own features. Where a set hides the labels of its test split,
as GLUE does, `test` is its validation split. A set is read from the folder of one commit, so that
the rows are the same on every machine that has the same `revisions.json`, network or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from helpers.data import schemas
from helpers.errors import WorkbookError
from helpers.hub_files import card, explained, snapshot
from helpers.revisions import recorded_revision

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, DatasetInfo, Features

SPLITS = ("train", "test")


@dataclass(frozen=True)
class HubSet:
    """Where a set lies on the Hub, and how its columns become a contract.

    `columns`: {the contract's column: the Hub's}. `config` None is the set's default. `test`: the
    split whose labels are public.
    """

    repo: str
    config: str | None
    head: str
    columns: Mapping[str, str]
    test: str = "test"


def _glue(
    config: str, *texts: str, head: str = "classification", test: str = "validation"
) -> HubSet:
    label = "score" if head == "similarity" else "label"
    columns = dict(zip(("text", "text_pair"), texts, strict=False)) | {label: "label"}
    return HubSet("nyu-mll/glue", config, head, columns, test)


_SQUAD = {"context": "context", "question": "question", "answers": "answers"}
_TAGGED = {"tokens": "tokens", "tags": "ner_tags"}

# fmt: off
SETS: dict[str, HubSet] = {
    "cola": _glue("cola", "sentence"),
    "sst2": _glue("sst2", "sentence"),
    "mrpc": _glue("mrpc", "sentence1", "sentence2"),
    "qqp": _glue("qqp", "question1", "question2"),
    "stsb": _glue("stsb", "sentence1", "sentence2", head="similarity"),
    "mnli": _glue("mnli", "premise", "hypothesis", test="validation_matched"),
    "qnli": _glue("qnli", "question", "sentence"),
    "rte": _glue("rte", "sentence1", "sentence2"),
    "wnli": _glue("wnli", "sentence1", "sentence2"),
    "imdb": HubSet(
        "stanfordnlp/imdb", None, "classification", {"text": "text", "label": "label"}),
    "ag_news": HubSet(
        "fancyzhx/ag_news", None, "classification", {"text": "text", "label": "label"}),
    "go_emotions": HubSet(
        "google-research-datasets/go_emotions", "simplified", "multilabel",
        {"text": "text", "label": "labels"}),
    "conll2003": HubSet("lhoestq/conll2003", None, "tokens", _TAGGED),
    # leondz/wnut_17 is a script, which `datasets` no longer runs; this is the same as Parquet
    "wnut_17": HubSet("flaitenberger/wnut_17", None, "tokens", _TAGGED),
    "squad": HubSet("rajpurkar/squad", None, "questions", _SQUAD, "validation"),
    "squad_v2": HubSet("rajpurkar/squad_v2", None, "questions", _SQUAD, "validation"),
    # as BERT's authors read it: the first sentence, then the second one's start and an ending
    "swag": HubSet(
        "allenai/swag", "regular", "choices",
        {"context": "sent1", "start": "sent2", "label": "label",
         **{f"ending{i}": f"ending{i}" for i in range(schemas.CHOICES)}},
        "validation"),
    "wikitext": HubSet("Salesforce/wikitext", "wikitext-2-raw-v1", "corpus", {"text": "text"}),
}
# fmt: on


def find(name: str) -> HubSet:
    """The set of this name in the table.

    Raises `WorkbookError` on a name that is not there.
    """
    if name not in SETS:
        raise WorkbookError(f"no Hub set is called {name!r}; there are {', '.join(SETS)}")
    return SETS[name]


def load(
    name: str, split: str | None = None, limit: int | None = None, revision: str | None = None
) -> DatasetDict:
    """The set `name` with splits "train" and "test", or the one asked for, in its head's contract.

    `limit`: at most so many rows of each split, taken evenly from all of it. `revision`: a commit
    or branch; by default the recorded one, and the newest when none is recorded. What is not on
    this machine is fetched.

    Raises `WorkbookError` on an unknown name, split, limit or revision, without a network, and
    when the set on the Hub no longer has the columns, splits or labels of the table.
    """
    from datasets import DatasetDict

    hub_set = find(name)
    if split is not None and split not in SPLITS:
        raise WorkbookError(f"split is {split!r}; it must be 'train' or 'test'")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise WorkbookError(f"limit is {limit!r}; it must be a whole number, 1 or more")
    hub_splits = {
        s: "train" if s == "train" else hub_set.test for s in SPLITS if split in (s, None)
    }
    raw = _read(name, list(hub_splits.values()), revision)
    return DatasetDict(
        {ours: _as_contract(name, _limited(raw[hub], limit)) for ours, hub in hub_splits.items()}
    )


def splits(hub_set: HubSet, fields: Mapping[str, Any]) -> dict[str, list[str]]:
    """Which files of the repository hold each split of the set: what its README's head says.

    `fields`: the head of the README, as a dict. Empty when it says nothing about files.

    Raises `WorkbookError` when the README no longer names the set's config.
    """
    from datasets.data_files import sanitize_patterns

    configs = _configs(fields)
    if not configs:
        return {}
    wanted = hub_set.config or _default(configs)
    if wanted not in configs or "data_files" not in configs[wanted]:
        raise WorkbookError(
            f"{hub_set.repo} has changed: it has no config {wanted!r} among {', '.join(configs)}; "
            f"{_REMEDY}"
        )
    found = sanitize_patterns(configs[wanted]["data_files"])
    return {str(split): list(paths) for split, paths in found.items()}


def _configs(fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {config["config_name"]: config for config in fields.get("configs") or []}


def _default(configs: Mapping[str, Any]) -> str:
    """The config that plain `load_dataset` takes: the one marked so, or called so, or the only."""
    marked = [name for name, c in configs.items() if isinstance(c, dict) and c.get("default")]
    return next(iter([*marked, *(name for name in configs if name == "default"), *configs]))


def patterns(files: Mapping[str, list[str]]) -> list[str]:
    """What to ask of the repository for these splits: their files, and the README."""
    paths = [path for paths in files.values() for path in paths]
    return ["README.md", *(paths or ["*.parquet"])]


_REMEDY = "fetch a revision that is known to work: `workbook prefetch --revisions FILE`"


def _read(name: str, wanted: Sequence[str], revision: str | None) -> DatasetDict:
    """The splits `wanted`, as the Hub has them."""
    from datasets import load_dataset
    from datasets.data_files import get_data_patterns

    hub_set = SETS[name]
    command = f"workbook prefetch --sets {name}"
    commit, fields = card(hub_set.repo, revision or recorded_revision(hub_set.repo), command)
    files = splits(hub_set, fields)
    _check_splits(name, wanted, files or wanted)
    files = {split: paths for split, paths in files.items() if split in wanted}
    folder = snapshot(hub_set.repo, "dataset", patterns(files), commit, command)
    with explained(hub_set.repo, commit, f"cannot be read as {name}"):
        files = files or {str(k): v for k, v in get_data_patterns(str(folder)).items()}
        _check_splits(name, wanted, files)
        info = card_info(hub_set, fields)
        # not load_dataset(folder): that looks at the files of the README's first config as well
        return load_dataset(
            "parquet",
            data_files={s: [str(folder / path) for path in files[s]] for s in wanted},
            features=info.features if info else None,  # the README's types come first
        )


def _check_splits(name: str, wanted: Sequence[str], found: Iterable[str]) -> None:
    for split in wanted:
        if split not in found:
            raise _changed(name, f"it has no split {split!r} among {', '.join(found)}")


def card_info(hub_set: HubSet, fields: Mapping[str, Any]) -> DatasetInfo | None:
    """What the README's head says of the set, such as types and sizes; None if nothing."""
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    if not fields.get("dataset_info"):
        return None
    head = DatasetCardData(dataset_info=fields["dataset_info"])
    infos = DatasetInfosDict.from_dataset_card_data(head)
    config = hub_set.config or _default(_configs(fields) or infos)
    return next(iter(infos.values())) if len(infos) == 1 else infos.get(config)


def _changed(name: str, how: str) -> WorkbookError:
    return WorkbookError(f"{name} ({SETS[name].repo}) has changed: {how}; {_REMEDY}")


def _limited(rows: Dataset, limit: int | None) -> Dataset:
    """Evenly spaced rows: the first ones may all have one label, as in IMDb."""
    if limit is None or limit >= len(rows):
        return rows
    return rows.select([i * len(rows) // limit for i in range(limit)])


def _as_contract(name: str, rows: Dataset) -> Dataset:
    hub_set = SETS[name]
    missing = [column for column in hub_set.columns.values() if column not in rows.column_names]
    if missing:
        raise _changed(name, f"no column {missing[0]!r} among {', '.join(rows.column_names)}")
    rows = rows.select_columns(list(hub_set.columns.values()))
    rows = rows.rename_columns({hub: ours for ours, hub in hub_set.columns.items() if hub != ours})
    target = _features(name, rows.features)
    with explained(hub_set.repo, None, f"cannot be read as {name}"):
        if hub_set.head == "choices":
            return rows.map(_choices, remove_columns=rows.column_names, features=target)
        if hub_set.head == "corpus":
            rows = rows.map(lambda row: {"text": row["text"].strip()})
            rows = rows.filter(lambda row: bool(row["text"]))
        rows = rows.select_columns(list(target))
        return rows if rows.features == target else rows.cast(target)


def _features(name: str, found: Features) -> Features:
    """The contract's features; names of labels as the set itself gives them."""
    from datasets import ClassLabel

    head = SETS[name].head
    if head not in schemas.NAMED:
        return schemas.features(head)
    column = "tags" if head == "tokens" else "label"
    label = found[column] if head == "classification" else getattr(found[column], "feature", None)
    if not isinstance(label, ClassLabel) or not label.names:
        raise _changed(name, f"column {SETS[name].columns[column]!r} does not name its labels")
    return schemas.features(head, label.names, pair="text_pair" in found)


def _choices(row: Mapping[str, Any]) -> dict[str, Any]:
    endings = [row[f"ending{i}"] for i in range(schemas.CHOICES)]
    choices = [f"{row['start']} {ending}" for ending in endings]
    return {"context": row["context"], "choices": choices, "label": row["label"]}
