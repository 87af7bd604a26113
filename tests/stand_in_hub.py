"""A small Hub on this machine: models and Parquet sets in the Hub's layout and API.

It answers what `huggingface_hub` and `datasets` ask, counts the requests, and breaks connections
off when told to, so that the tests take the real path without the real Hub.
"""

import hashlib
import json
import os
import re
import socket
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess, run
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from conftest import ROOT

NOWHERE = "http://127.0.0.1:9"  # a proxy that does not answer: the way to the real Hub is closed
_API = re.compile(r"^/api/(models|datasets)/(.+?)(?:/(revision|tree|paths-info)/([^/]+)(.*))?$")
_FILE = re.compile(r"^/(datasets/)?(.+?)/resolve/([^/]+)/(.+)$")


class StandInHub:
    """Repositories by (kind, id), each with its commits in order; "main" is the last one."""

    def __init__(self):
        self.repos: dict[tuple[str, str], dict[str, Path]] = {}
        self.requests: list[tuple[str, str, str]] = []  # (method, path, Range)
        self.breaks: dict[str, list[int]] = {}  # end of repo/path: [byte, times]
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.hub = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, kind: str, repo: str, folder: Path, commit: str) -> None:
        """Serve the files of `folder` as `repo`, "models" or "datasets", at `commit`."""
        self.repos.setdefault((kind, repo), {})[commit] = folder

    def break_off(self, file: str, byte: int, times: int = 1) -> None:
        """Let the next `times` answers whose path ends in `file` stop before `byte`."""
        self.breaks[file] = [byte, times]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """For a fresh process: this Hub, caches of its own below `home`, no way elsewhere."""
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
        proxies |= {name.lower(): value for name, value in proxies.items()}
        ours = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "WORKBOOK_HOME": str(home / "workbook"),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        return {**os.environ, **proxies, **ours, **more}

    def python(self, home: Path, code: str, **more: str) -> CompletedProcess:
        """Run Python code in a fresh process that knows no other Hub."""
        return run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=self.environment(home, **more),
            cwd=ROOT,
            timeout=900,  # a slow machine, nine heads
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if found := _API.match(path):
            self.api(*found.groups())
        elif found := _FILE.match(path):
            kind, repo, revision, name = found.groups()
            self.file("datasets" if kind else "models", repo, revision, name)
        else:
            self.refuse(404, "", f"the stand-in Hub does not know {path}")

    do_HEAD = do_POST = do_GET  # noqa: N815

    def commit(self, kind, repo, revision):
        """(commit, folder), or None once the refusal is sent."""
        commits = self.server.hub.repos.get((kind, repo))
        if not commits:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        commit = list(commits)[-1] if revision in (None, "main") else revision
        if commit not in commits:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, commits[commit]

    def api(self, kind, repo, what, revision, below):
        if not (found := self.commit(kind, repo, revision)):
            return
        commit, folder = found
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        entries = [_entry(path, folder) for path in files]
        if what == "tree":
            below = below.strip("/")
            inside = [e for e in entries if e["path"].startswith(f"{below}/") or not below]
            recursive = "recursive=true" in self.path.lower()
            self.json(inside if recursive else _one_level(inside, below))
        elif what == "paths-info":
            self.json(self.paths_info(entries))
        else:
            siblings = [{"rfilename": e["path"], "size": e["size"]} for e in entries]
            self.json(
                {"id": repo, "sha": commit, "siblings": siblings, "tags": [], "private": False}
            )

    def paths_info(self, entries):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        is_json = "json" in self.headers.get("Content-Type", "")
        wanted = json.loads(body)["paths"] if is_json else parse_qs(body).get("paths", [])
        wanted = [wanted] if isinstance(wanted, str) else wanted
        folders = {f"{p}" for e in entries for p in Path(e["path"]).parents if str(p) != "."}
        directories = [_directory(path) for path in sorted(folders) if path in wanted]
        return [e for e in entries if e["path"] in wanted] + directories

    def file(self, kind, repo, revision, name):
        if not (found := self.commit(kind, repo, revision)):
            return
        commit, folder = found
        path = folder / name
        if not path.is_file():
            self.refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
            return
        content = path.read_bytes()
        first, last = _range(self.headers.get("Range"), len(content))
        self.send_response(206 if self.headers.get("Range") else 200)
        if self.headers.get("Range"):
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(content)}")
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first))
        self.end_headers()
        if self.command == "HEAD":
            return
        breaks = self.server.hub.breaks.items()
        asked = f"{repo}/{name}"
        until = next((left for file, left in breaks if asked.endswith(file)), [0, 0])
        if until[1] > 0:
            until[1] -= 1
            self.wfile.write(content[first : min(last, until[0])])
            self.hang_up()
        else:
            self.wfile.write(content[first:last])

    def hang_up(self):
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def refuse(self, status, code, message, headers=None):
        self.json({"error": message}, status, {"X-Error-Code": code, **(headers or {})}, message)

    def json(self, value, status=200, headers=None, message=None):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        if message:
            self.send_header("X-Error-Message", message)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _range(header: str | None, length: int) -> tuple[int, int]:
    if not header:
        return 0, length
    first, last = header.removeprefix("bytes=").split("-")
    return int(first or 0), int(last) + 1 if last else length


def _entry(path: Path, folder: Path) -> dict:
    oid = hashlib.sha1(path.read_bytes()).hexdigest()
    name = path.relative_to(folder).as_posix()
    return {"type": "file", "oid": oid, "size": path.stat().st_size, "path": name}


def _directory(path: str) -> dict:
    return {
        "type": "directory",
        "oid": hashlib.sha1(path.encode()).hexdigest(),
        "size": 0,
        "path": path,
    }


def _one_level(entries: list[dict], below: str) -> list[dict]:
    depth = len(Path(below).parts) + 1
    folders = {
        "/".join(Path(e["path"]).parts[:depth])
        for e in entries
        if len(Path(e["path"]).parts) > depth
    }
    return [e for e in entries if len(Path(e["path"]).parts) == depth] + [
        _directory(f) for f in sorted(folders)
    ]


@contextmanager
def standing_in():
    """A stand-in Hub that serves nothing yet; stopped at the end."""
    hub = StandInHub()
    try:
        yield hub
    finally:
        hub.stop()


def commit_of(text: str) -> str:
    """A commit hash that depends on nothing but `text`."""
    return hashlib.sha1(text.encode()).hexdigest()


def write_set(folder: Path, configs: dict[str, dict[str, Any]], style: str = "") -> Path:
    """A repository of Parquet files: {config: {split: Dataset}}, and the README that names them.

    Configs lie in folders of their names, one called "default" in `data`. Types of the columns
    stand in the Parquet files; in `style` "card" in the README instead. In `style` "plain" the
    README says nothing about files.
    """
    import pyarrow.parquet
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    fields = DatasetCardData(configs=[])
    for config, splits in configs.items():
        below = "data" if config == "default" else config
        (folder / below).mkdir(parents=True, exist_ok=True)
        for split, rows in splits.items():
            table = rows.data.table.replace_schema_metadata(
                None if style == "card" else rows.data.schema.metadata
            )
            pyarrow.parquet.write_table(table, folder / below / f"{split}-00000-of-00001.parquet")
        files = [{"split": split, "path": f"{below}/{split}-*"} for split in splits]
        fields["configs"].append({"config_name": config, "data_files": files})
        if style == "card":
            info = DatasetInfo(features=next(iter(splits.values())).features)
            DatasetInfosDict({config: info}).to_dataset_card_data(fields)
    if style == "plain":
        fields = DatasetCardData(language="en")
    (folder / "README.md").write_text(f"---\n{fields}\n---\n# A set\n", encoding="utf8")
    return folder


def write_model(folder: Path, kind: str, width: int = 96) -> Path:
    """A tiny random masked language model with the packaged tokenizer, and files nobody needs.

    Its weights are above 10 MB, the piece in which the Hub's client keeps what it has received.
    """
    import torch
    from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

    from helpers.checkpoints import base_tokenizer

    torch.manual_seed(0)
    if kind == "BERT":
        sizes = {"hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 2}
        model = BertForMaskedLM(BertConfig(**sizes, intermediate_size=width))
    else:
        model = DistilBertForMaskedLM(
            DistilBertConfig(dim=width, n_layers=1, n_heads=2, hidden_dim=width)
        )
    model.save_pretrained(folder)
    base_tokenizer(kind).save_pretrained(folder)
    for unwanted in ("pytorch_model.bin", "tf_model.h5", "coreml/model.safetensors", "README.md"):
        (folder / unwanted).parent.mkdir(exist_ok=True)
        (folder / unwanted).write_bytes(b"never fetched")
    return folder
