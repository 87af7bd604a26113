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

LAYOUT = json.loads((ROOT / "data" / "measurements" / "hub_layouts.json").read_text())
NOWHERE = "http://127.0.0.1:9"  # does not answer: the way to the real Hub is closed
PATH = re.compile(
    r"(?:/cdn)?/(?:api/)?(?:(models|datasets)/)?(.+?)"
    r"(?:/(revision|tree|resolve)/([^/]+)/?(.*))?"
)


def commit_of(text):
    """A commit hash that depends on nothing but `text`."""
    return hashlib.sha1(text.encode()).hexdigest()


def dataset_files(layout, rows):
    """{path: content}; types stand in the card, or where there is none in the infos."""
    import yaml
    from datasets import Features

    info, files, older = [], [], {}
    made = dict.fromkeys(layout["files"], b"")
    for config in layout["configs"]:
        name, kept = config["config_name"], ("config_name", "features")
        columns = Features._from_yaml_list(config["features"])
        info.append({key: config[key] for key in kept})
        files.append({key: config[key] for key in config if key != "features"})
        older[name] = {"features": columns.to_dict()}
        below = "data/" if name in ("default", "lhoestq--conll2003") else f"{name}/"
        for path in [path for path in made if path.startswith(below)]:
            split = path.removeprefix(below).partition("-")[0]
            made[path] = _parquet(columns, f"{name} {split}", rows)
    head = yaml.safe_dump({"dataset_info": info, "configs": files}, sort_keys=False)
    texts = {"README.md": f"---\n{head}---\n", "dataset_infos.json": json.dumps(older)}
    return made | {path: texts[path].encode() for path in made if path in texts}


def _parquet(columns, text, rows):
    import pyarrow.parquet as pq
    from datasets import Dataset

    made = {
        name: [_value(kind, f"{text} {name} {i}", i) for i in range(rows)]
        for name, kind in columns.items()
    }
    table = Dataset.from_dict(made, features=columns).data.table
    pq.write_table(table.replace_schema_metadata(None), sink := io.BytesIO())
    return sink.getvalue()


def _value(kind, text, i):
    if isinstance(kind, dict):
        return {"text": ["context"], "answer_start": [text.index("answers")]}
    if hasattr(kind, "feature"):
        return [_value(kind.feature, text, j) for j in (0, 0, i)]
    if text.startswith("wikitext"):
        return ("", " = Title = \n", f" {text} . \n")[i % 3]
    known = {"string": text, "float32": i % 11 / 2, "bool": True}
    return i % len(kind.names) if hasattr(kind, "names") else known.get(kind.dtype, i)


def model_files(layout, folder):
    """{path: content} of a model: tiny, yet above the 10 MB that the client keeps."""
    import transformers

    from helpers.checkpoints import base_tokenizer

    kind = getattr(transformers, layout["class"])
    tokenizer = base_tokenizer().backend_tokenizer
    sizes = {"hidden_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2}
    kind(kind.config_class(**sizes)).save_pretrained(folder)
    tokenizer.model.save(str(folder))  # vocab.txt
    made = {path.name: path.read_bytes() for path in folder.iterdir()}
    made["tokenizer.json"] = tokenizer.to_str().encode()
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
        environment = os.environ | {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.port}", "HF_HOME": str(home / "hf"),
            "WORKBOOK_HOME": str(home / "workbook"),
            # a test before may have gone offline, as `session.start` does
            "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0",
            "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "ALL_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1,localhost", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
            env=environment | more, timeout=300,
        )  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range", "")))
        kind, repo, what, revision, name = PATH.fullmatch(path).groups()
        if repo in hub.moved:
            there = self.path.replace(repo, hub.moved[repo])
            return self.answer(307, {"Location": there})
        commits = hub.repos.get((kind or "models", repo), {})
        commit = next(reversed(commits), "") if revision in (None, "main") else revision
        if commit not in commits:
            code = "RevisionNotFound" if commits else "RepoNotFound"
            return self.answer(404, {"X-Error-Code": code})
        files, told = commits[commit], {"X-Repo-Commit": commit}
        if what == "resolve" and name not in files:
            return self.answer(404, told | {"X-Error-Code": "EntryNotFound"})
        if what == "resolve":
            return self.file(f"{repo}/{name}", files[name], told)
        siblings = [{"rfilename": path} for path in files]
        found = {"id": repo, "sha": commit, "siblings": siblings}
        body = json.dumps(self.tree(files, name) if what == "tree" else found)
        return self.answer(200, {"Content-Type": "application/json"}, body.encode())

    do_HEAD = do_GET  # noqa: N815

    def tree(self, files, below):
        folders = {str(d): None for p in files for d in PurePosixPath(p).parents[:-1]}
        every, deep = folders | files, "recursive=true" in self.path.lower()
        return [
            {"type": "directory" if content is None else "file", "path": path,
             "oid": commit_of(path), "size": len(content or b"")}
            for path, content in every.items()
            if deep or str(PurePosixPath(path).parent) == (below or ".")
        ]  # fmt: skip

    def file(self, name, content, told):
        size, tag = len(content), f'"{hashlib.sha256(content).hexdigest()}"'
        told |= {"ETag": tag, "X-Linked-Etag": tag, "X-Linked-Size": str(size)}
        large = name.endswith((".parquet", ".safetensors"))
        if large and not self.path.startswith("/cdn/"):  # kept on another host
            there = f"http://localhost:{self.server.hub.port}/cdn{self.path}"
            return self.answer(302, told | {"Location": there})
        first = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        told |= {"Content-Length": str(size - first)}
        if first:
            told["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        stop, times = self.server.hub.breaks.get(name, (None, 0))
        body = content[first : stop if times else None]
        self.answer(206 if first else 200, told, body)
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
