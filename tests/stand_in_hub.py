"""A small Hub on this machine, in the layout of the real one.

It serves what `data/measurements/hub_layouts.json` says of each repository: the same
files, cards, columns and names of labels, rows made up. It answers what `datasets` and
`huggingface_hub` ask, moves old names on and keeps large files on another host, as the
Hub does, and breaks connections off when told to.
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
from urllib.parse import unquote, urlsplit

from conftest import ROOT

LAYOUTS = json.loads((ROOT / "data" / "measurements" / "hub_layouts.json").read_text())
NOWHERE = "http://127.0.0.1:9"  # does not answer: the way to the real Hub is closed
_API = r"/api/(models|datasets)/(.+?)(?:/(revision|tree)/([^/]+)/?(.*))?"
_FILE = r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)"


def commit_of(text):
    """A commit hash that depends on nothing but `text`."""
    return hashlib.sha1(text.encode()).hexdigest()


def dataset_files(layout, rows):
    """{path: content}; types stand in the card, or where there is none in the infos."""
    import pyarrow.parquet as pq
    import yaml
    from datasets import Dataset, Features

    files, card, older = dict.fromkeys(layout["files"], b""), [], {}
    for config in layout["configs"]:
        name, features = (
            config["config_name"],
            Features._from_yaml_list(config["features"]),
        )
        folder = config.get("data_files", [{"path": "data/"}])[0]["path"].split("/")[0]
        counts = {}
        for path in [p for p in files if p.startswith(f"{folder}/")]:
            split = path.split("/")[1].partition("-")[0]
            made = [_row(features, f"{name} {split}", i) for i in range(rows)]
            table = Dataset.from_list(made, features=features).data.table
            pq.write_table(table.replace_schema_metadata(None), sink := io.BytesIO())
            files[path], counts[split] = sink.getvalue(), counts.get(split, 0) + rows
        splits = [
            {"name": s, "num_bytes": 9, "num_examples": counts[s]} for s in counts
        ]
        info = {"config_name": name, "features": config["features"], "splits": splits}
        card.append(info | {"dataset_size": 9_000_000})
        older[name] = {"features": features.to_dict()}
    keys = ("config_name", "data_files", "default")
    configs = [{k: c[k] for k in keys if k in c} for c in layout["configs"]]
    head = yaml.safe_dump({"dataset_info": card, "configs": configs}, sort_keys=False)
    texts = {"README.md": f"---\n{head}---\n", "dataset_infos.json": json.dumps(older)}
    return files | {path: texts[path].encode() for path in files if path in texts}


def _row(features, text, i):
    row = {name: _value(f, f"{text} {name} {i}", i) for name, f in features.items()}
    if " test" in text and {"idx", "fold-ind"} & {*features}:
        row["label"] = -1  # hidden, as GLUE and SWAG have it
    if "answers" in features:
        found = (
            ([], []) if "v2" in text and i % 3 == 0 else (["context"], [len(text) + 1])
        )
        row["answers"] = dict(zip(("text", "answer_start"), found, strict=True))
    if text.startswith("wikitext"):
        row["text"] = ("", " = Title = \n", f" {text} line {i} . \n")[i % 3]
    return row


def _value(feature, text, i):
    if isinstance(feature, dict):
        return None
    if hasattr(feature, "feature"):
        return [_value(feature.feature, text, j) for j in (0, 0, i)]
    if hasattr(feature, "names"):
        return i % len(feature.names)
    return {"string": text, "float32": i % 11 / 2, "bool": True}.get(feature.dtype, i)


def model_files(layout, folder):
    """{path: content} of a model: tiny, yet above the 10 MB that the client keeps."""
    import transformers

    from helpers.checkpoints import base_tokenizer

    kind = getattr(transformers, layout["class"])
    sizes = {"hidden_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2}
    kind(kind.config_class(**sizes)).save_pretrained(folder)
    made = {path.name: path.read_bytes() for path in folder.iterdir()}
    tokenizer = base_tokenizer()
    pieces = sorted(tokenizer.vocab, key=tokenizer.vocab.get)
    made["vocab.txt"] = ("\n".join(pieces) + "\n").encode()
    made["tokenizer.json"] = tokenizer.backend_tokenizer.to_str().encode()
    made["tokenizer_config.json"] = b'{"do_lower_case": true, "model_max_length": 512}'
    return {path: made.get(path, b"never fetched") for path in layout["files"]}


class StandInHub:
    """Repositories by (kind, id), each with its commits; "main" is the last one."""

    def __init__(self):
        self.repos, self.moved, self.requests, self.breaks = {}, {}, [], {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.hub, self.server.daemon_threads = self, True
        self.server.handle_error = lambda *_: None  # a client that hangs up is no news
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, kind, repo, files, commit):
        """Serve `files` as `repo`, of "models" or "datasets", at `commit`."""
        self.repos.setdefault((kind, repo), {})[commit] = files

    def python(self, home, code, **more):
        """Run code in a fresh process that knows only this Hub; caches in `home`."""
        environment = {
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE),
            "HF_ENDPOINT": f"http://127.0.0.1:{self.port}", "HF_HOME": str(home / "hf"),
            "WORKBOOK_HOME": str(home / "workbook"), "NO_PROXY": "127.0.0.1,localhost",
            "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
            env=os.environ | environment | more, timeout=300,
        )  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if api := re.fullmatch(_API, path):
            kind, repo, what, revision, name = api.groups()
        elif file := re.fullmatch(_FILE, path.removeprefix("/cdn")):
            kind, repo, revision, name = file.groups()
            kind = "datasets" if kind else "models"
        else:
            return self.answer(404, {"X-Error-Message": f"no page {path}"})
        if repo in hub.moved:
            return self.answer(
                307, {"Location": self.path.replace(repo, hub.moved[repo])}
            )
        commits = hub.repos.get((kind, repo), {})
        commit = next(reversed(commits), "") if revision in (None, "main") else revision
        if commit not in commits:
            code = "RevisionNotFound" if commits else "RepoNotFound"
            return self.answer(404, {"X-Error-Code": code})
        if api:
            return self.listing(repo, commit, commits[commit], what, name)
        return self.file(f"{repo}/{name}", commit, commits[commit].get(name), path)

    do_HEAD = do_GET  # noqa: N815

    def listing(self, repo, commit, files, what, below):
        found = {
            "id": repo,
            "sha": commit,
            "siblings": [{"rfilename": p} for p in files],
        }
        if what == "tree":
            folders = {
                str(d): None for p in files for d in PurePosixPath(p).parents[:-1]
            }
            every, deep = folders | files, "recursive=true" in self.path.lower()
            here = [p for p in every if str(PurePosixPath(p).parent) == (below or ".")]
            found = [_entry(path, every[path]) for path in (every if deep else here)]
        self.answer(
            200, {"Content-Type": "application/json"}, json.dumps(found).encode()
        )

    def file(self, name, commit, content, path):
        told = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if content is None:
            return self.answer(404, told | {"X-Error-Code": "EntryNotFound"})
        told["ETag"] = told["X-Linked-Etag"] = (
            f'"{hashlib.sha256(content).hexdigest()}"'
        )
        told["X-Linked-Size"] = str(len(content))
        if name.endswith((".parquet", ".safetensors")) and not path.startswith("/cdn"):
            there = f"http://localhost:{self.server.hub.port}/cdn{self.path}"
            return self.answer(302, told | {"Location": there})
        first = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        told |= {"Content-Length": str(len(content) - first)}
        if first:
            told["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        stop, times = self.server.hub.breaks.get(name, (None, 0))
        self.answer(
            206 if first else 200, told, content[first : stop if times else None]
        )
        if times and self.command == "GET":
            self.server.hub.breaks[name] = (stop, times - 1)
            self.connection.shutdown(socket.SHUT_RDWR)

    def answer(self, status, told, body=b""):
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **told}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(path, content):
    kind, size = "directory" if content is None else "file", len(content or b"")
    return {"type": kind, "oid": commit_of(path), "size": size, "path": path}
