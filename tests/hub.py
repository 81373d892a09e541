"""A stand-in for the Hugging Face Hub on this machine: as much of its protocol as huggingface_hub speaks with us.

Repositories are lists of commits, a commit is the bytes of its files by their names. Who has the token may do all.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"
_LARGE = ".safetensors"


class Repository:
    """Of the stand-in.

    Args:
        private: whether who has no token is told that it is not there.
    """

    def __init__(self, private: bool = False) -> None:
        self.private = private
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        """What is said of files in the place of how large they are."""
        self.commit({".gitattributes": b"*.pt filter=lfs\n"})

    @property
    def files(self) -> dict[str, bytes]:
        """Of the last commit."""
        return self.commits[self.branches["main"]]

    def commit(self, files: dict[str, bytes]) -> str:
        """Make these all the files of main."""
        oid = hashlib.sha1(f"{len(self.commits)} {sorted(files)}".encode()).hexdigest()
        self.commits[oid], self.branches["main"] = files, oid
        return oid

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, or of a commit."""
        return revision if revision in self.commits else self.branches.get(revision)


class Hub:
    """The stand-in: its repositories, where it is, and what it has been asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.url = ""
        self.asked: list[str] = []
        self.failing: int | None = None
        """A status that everything is answered with."""


@contextmanager
def standing_in() -> Iterator[Hub]:
    """The stand-in, which answers inside the block."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if hub.failing:
            return self._send(hub.failing, {"error": "the stand-in fails"})
        may_write = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if path == "/api/validate-yaml":
            wrong = "license: wrong\n" in json.loads(body)["content"]
            errors = [{"message": '"license" must be one of [apache-2.0, mit]'}] if wrong else []
            return self._send(400 if wrong else 200, {"errors": errors, "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(body), may_write)
        found = re.fullmatch(r"/(?:api/models/)?([^/]+/[^/]+)(?:/(revision|tree|preupload|commit|resolve)/(.+))?", path)
        repository = found and hub.repositories.get(found[1])
        if not found or not repository or (repository.private and not may_write):
            return self._send(404 if may_write else 401, {"error": "not found"}, code="RepoNotFound")
        what, rest = found[2] or "revision", found[3] or "main"
        if what == "commit":
            return self._commit(repository, found[1], body, may_write)
        if what == "preupload":
            asked = json.loads(body)["files"]
            files = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in asked]
            return self._send(200, {"files": files})
        revision, _, name = rest.partition("/") if what == "resolve" else (rest, "", "")
        commit = repository.resolve(revision)
        if commit is None:
            return self._send(404, {"error": "no such revision"}, code="RevisionNotFound")
        files = repository.commits[commit]
        if what == "resolve":
            return self._send_file(files.get(name), commit)
        listed = [
            {"rfilename": each, "path": each, "type": "file", "oid": _oid(data), "blobId": _oid(data)}
            | {"size": repository.sizes.get(each, len(data))}
            | (_large(data) if each.endswith(_LARGE) else {})
            for each, data in files.items()
        ]
        if what == "tree":
            return self._send(200, listed)
        about = {"id": found[1], "modelId": found[1], "private": repository.private, "tags": [], "downloads": 0}
        return self._send(200, about | {"sha": commit, "siblings": listed})

    def _create(self, asked: dict[str, Any], may_write: bool) -> None:
        if not may_write:
            return self._send(401, {"error": "who are you?"})
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        there = name in self.hub.repositories
        self.hub.repositories.setdefault(name, Repository(private))
        return self._send(409 if there else 200, {"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def _commit(self, repository: Repository, name: str, body: bytes, may_write: bool) -> None:
        if not may_write:
            return self._send(401, {"error": "who are you?"})
        files = dict(repository.files)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit") not in (None, repository.branches["main"]):
                return self._send(412, {"error": "somebody has pushed"})
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.commit(files)
        url = f"{self.hub.url}/{name}/commit/{oid}"
        return self._send(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def _send_file(self, data: bytes | None, commit: str) -> None:
        if data is None:
            return self._send(404, {"error": "no such file"}, code="EntryNotFound")
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{_oid(data)}"')
        self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def _send(self, status: int, answer: Any, code: str | None = None) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _large(data: bytes) -> dict[str, Any]:
    """What is listed of a file that git has a pointer to."""
    digest = hashlib.sha256(data).hexdigest()
    return {"blobId": "0" * 40, "lfs": {"sha256": digest, "oid": digest, "size": len(data), "pointerSize": 130}}


def _oid(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
