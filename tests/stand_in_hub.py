"""A small Hub on this machine, in the layout of the real one.

It serves what `data/measurements/hub_layouts.json` says of each repository: the same
file names, cards, columns and names of labels, rows made up; answers what
`huggingface_hub` and `datasets` ask; moves old names on and sends large files elsewhere,
as the Hub does; and breaks connections off when told to.
"""

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from conftest import ROOT

LAYOUTS = json.loads((ROOT / "data" / "measurements" / "hub_layouts.json").read_text())
ROWS = 30  # in every file
NOWHERE = "http://127.0.0.1:9"  # does not answer: the way to the real Hub is closed
_API = r"/api/(models|datasets)/(.+?)(?:/(revision|tree|paths-info)/([^/]+)/?(.*))?"
_FILE = r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)"


def commit_of(text):
    """A commit hash that depends on nothing but `text`."""
    return hashlib.sha1(text.encode()).hexdigest()


def dataset_files(layout, rows=ROWS):
    """{path: content} of a data set: Parquet without types, a card or the older infos."""
    import pyarrow.parquet as pq
    import yaml
    from datasets import Dataset, Features

    files, infos = {}, []
    for config in layout["configs"]:
        features = Features._from_yaml_list(config["features"])
        folder = PurePosixPath(config.get("data_files", [{"path": "data/"}])[0]["path"])
        below = str(folder.parent) if "data_files" in config else str(folder)
        paths = [p for p in layout["files"] if p.startswith(f"{below}/")]
        splits = {}
        for path in paths:
            split = path.removeprefix(f"{below}/").partition("-")[0]
            made = [
                _row(features, config["config_name"], split, i) for i in range(rows)
            ]
            table = Dataset.from_list(made, features=features).data.table
            pq.write_table(table.replace_schema_metadata(None), sink := io.BytesIO())
            files[path] = sink.getvalue()
            splits[split] = splits.get(split, 0) + rows
        counts = [
            {"name": s, "num_bytes": 1000, "num_examples": n} for s, n in splits.items()
        ]
        info = {"config_name": config["config_name"], "features": config["features"]}
        infos.append(info | {"splits": counts, "dataset_size": 1000 * len(splits)})
    if len(infos) == 1 and infos[0]["config_name"] == "default":
        del infos[0]["config_name"]
    keys = ("config_name", "data_files", "default")
    configs = [{k: c[k] for k in keys if k in c} for c in layout["configs"]]
    card = {"dataset_info": infos if len(infos) > 1 else infos[0], "configs": configs}
    older = {
        c["config_name"]: {
            "features": Features._from_yaml_list(c["features"]).to_dict()
        }
        for c in layout["configs"]
    }
    texts = {"README.md": f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n# A set\n"}
    texts["dataset_infos.json"] = json.dumps(older)
    for path in layout["files"]:
        files.setdefault(path, texts.get(path, "*.parquet filter=lfs\n").encode())
    return files


def _row(features, config, split, i):
    hidden = split.startswith("test") and "idx" in features  # as GLUE hides its labels
    row = {name: _value(f, f"{split} {name} {i}", i) for name, f in features.items()}
    if hidden or (config == "regular" and split == "test"):
        row["label"] = -1
    if "answers" in features:
        found = (
            ([], [])
            if config == "squad_v2" and i % 3 == 0
            else (["context"], [len(split) + 1])
        )
        row["answers"] = dict(zip(("text", "answer_start"), found, strict=True))
    if config.startswith("wikitext"):
        row["text"] = ("", " = Title = \n", f" Line {i} of {split} . \n")[i % 3]
    return row


def _value(feature, text, i):
    if hasattr(feature, "feature"):
        return [_value(feature.feature, text, j) for j in (0, 0, i)]
    if hasattr(feature, "names"):
        return i % len(feature.names)
    if isinstance(feature, dict):
        return None
    return {"string": text, "float32": i % 11 / 2, "bool": True}.get(feature.dtype, i)


def model_files(layout, folder):
    """{path: content} of a model: tiny, above the 10 MB that the client keeps at once."""
    import torch
    import transformers

    from helpers.checkpoints import base_tokenizer

    torch.manual_seed(0)
    name = layout["class"]
    sizes = {"dim": 96, "n_layers": 1, "n_heads": 2, "hidden_dim": 96}
    if name.startswith("Bert"):
        sizes = {"hidden_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = getattr(transformers, name)
    model(model.config_class(**sizes)).save_pretrained(folder)
    tokenizer = base_tokenizer(name.partition("For")[0].replace("Bert", "BERT"))
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    pieces = sorted(tokenizer.vocab, key=tokenizer.vocab.get)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    config = '{"do_lower_case": true, "model_max_length": 512}'
    (folder / "tokenizer_config.json").write_text(config)
    made = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {path: made.get(path, b"never fetched") for path in layout["files"]}


class StandInHub:
    """Repositories by (kind, id), each with its commits in order; "main" is the last."""

    def __init__(self):
        self.repos, self.moved, self.requests, self.breaks = {}, {}, [], {}
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.hub = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever, args=(0.05,), daemon=True
        ).start()

    def add(self, kind, repo, files, commit):
        """Serve `files` as `repo`, of "models" or "datasets", at `commit`."""
        self.repos.setdefault((kind, repo), {})[commit] = files

    def asked(self, end):
        """The `Range` of every GET whose path ends so; "" where there was none."""
        return [
            r for method, p, r in self.requests if method == "GET" and p.endswith(end)
        ]

    def python(self, home, code, **more):
        """Run code in a fresh process that knows this Hub only, with caches in `home`."""
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
        ours = {
            "HF_ENDPOINT": self.url, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "0",
            "WORKBOOK_HOME": str(home / "workbook"), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost", "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
            env={**os.environ, **proxies, **ours, **more}, timeout=300,
        )  # fmt: skip


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if path.startswith("/cdn/"):  # where the Hub keeps large files
            kind, _, rest = path.removeprefix("/cdn/").partition("/")
            repo, _, name = rest.partition("@")
            commit, _, name = name.partition("/")
            return self.content(hub.repos[kind, repo][commit][name], f"{repo}/{name}")
        if found := re.fullmatch(_API, path):
            kind, repo, *rest = found.groups()
        elif found := re.fullmatch(_FILE, path):
            kind, repo = "datasets" if found[1] else "models", found[2]
        else:
            return self.refuse("EntryNotFound", f"no such page: {path}")
        if repo in hub.moved:
            there = self.path.replace(repo, hub.moved[repo], 1)
            return self.answer(307, b"", {"Location": there})
        commits = hub.repos.get((kind, repo))
        if not commits:
            return self.refuse("RepoNotFound", "Repository not found")
        revision = found[4] if path.startswith("/api/") else found[3]
        commit = list(commits)[-1] if revision in (None, "main") else revision
        if commit not in commits:
            return self.refuse("RevisionNotFound", f"Invalid rev id: {revision}")
        if path.startswith("/api/"):
            return self.api(repo, commit, commits[commit], *rest)
        return self.file(kind, repo, commit, commits[commit], found[4])

    do_HEAD = do_POST = do_GET  # noqa: N815

    def api(self, repo, commit, files, what, _, below):
        entries = {p: _entry(p, content) for p, content in files.items()}
        entries |= {
            str(d): _entry(str(d)) for p in files for d in PurePosixPath(p).parents
        }
        entries.pop(".")
        if what == "paths-info":
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            is_json = "json" in self.headers.get("Content-Type", "")
            asked = json.loads(body)["paths"] if is_json else parse_qs(body)["paths"]
            found = [e for p, e in entries.items() if p in asked]
        elif what == "tree":
            found = [
                e for p, e in entries.items() if p.startswith(f"{below}/") or not below
            ]
            if "recursive=true" not in self.path.lower():
                found = [
                    e
                    for e in found
                    if e["path"].removeprefix(below).count("/") <= bool(below)
                ]
        else:
            siblings = [{"rfilename": path} for path in files]
            found = {"id": repo, "sha": commit, "siblings": siblings, "tags": []}
        self.answer(
            200, json.dumps(found).encode(), {"Content-Type": "application/json"}
        )

    def file(self, kind, repo, commit, files, name):
        if name not in files:
            return self.refuse("EntryNotFound", "Entry not found", commit)
        content, large = files[name], name.endswith((".parquet", ".safetensors"))
        etag = hashlib.sha256(content).hexdigest()
        told = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(content))}
        if large:
            port = self.server.server_address[1]  # another host, as far as the client sees
            there = f"http://localhost:{port}/cdn/{kind}/{repo}@{commit}/{name}"
            told |= {"Location": there, "X-Linked-Etag": f'"{etag}"'}
            return self.answer(302, b"", told)
        return self.content(content, f"{repo}/{name}", told | {"ETag": f'"{etag}"'})

    def content(self, content, name, told=None):
        first, _, last = (
            self.headers.get("Range", "bytes=-").removeprefix("bytes=").partition("-")
        )
        start, end = int(first or 0), int(last) + 1 if last else len(content)
        told = {"Accept-Ranges": "bytes", **(told or {})}
        if first:
            told["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        left = self.server.hub.breaks.get(name, [0, 0])
        if left[1] and self.command == "GET":
            left[1] -= 1
            told["Content-Length"] = str(end - start)
            self.answer(206 if first else 200, content[start : left[0]], told)
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.answer(206 if first else 200, content[start:end], told)

    def refuse(self, code, message, commit=""):
        told = {
            "X-Error-Code": code,
            "X-Error-Message": message,
            "X-Repo-Commit": commit,
        }
        self.answer(404, json.dumps({"error": message}).encode(), told)

    def answer(self, status, body, told):
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **told}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(path, content=None):
    oid, size = hashlib.sha1(path.encode()).hexdigest(), len(content or b"")
    kind = "directory" if content is None else "file"
    return {"type": kind, "oid": oid, "size": size, "path": path}
