"""A hub on this machine that answers as huggingface.co does to what huggingface_hub asks when it downloads a file."""

import contextlib
import hashlib
import http.server
import re
import threading
import time
import urllib.parse


class LocalHub(http.server.ThreadingHTTPServer):
    """`with LocalHub() as hub`: hub.url is its address.

    Files that end in .safetensors or .bin are "LFS": their mark is their sha256, and they come by a redirect to another
    host. Each repository has one commit, on main.

    Attributes:
        files: (repository, name) -> content.
        gated: repositories that only a token may read, to be asked for.
        private: repositories that only a token may see.
        answers: statuses of the next answers, in place of the right ones; None: the right one.
        requests: (method, path, Range) of each.
        breaks_off: how many bytes of an LFS file are sent before the next answers break off.
        hangs: seconds before each answer.
        sent: LFS content sent in place of the right one.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files, self.gated, self.private, self.token = {}, set(), set(), "hf_secret"
        self.answers, self.requests, self.breaks_off, self.hangs, self.sent = [], [], [], 0.0, None
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *args):
        self.shutdown()
        super().__exit__(*args)

    def commit(self, repository):
        """Of what its files hold now."""
        files = sorted((name, len(f), f[:4096]) for (where, name), f in self.files.items() if where == repository)
        return hashlib.sha1(repr(files).encode()).hexdigest()

    def downloads(self):
        """The names of the files of which content was asked."""
        return [path.rpartition("/")[2] for method, path, _ in self.requests if method == "GET"]

    def handle_error(self, request, client_address):
        pass  # whoever asked has hung up


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        hub = self.server
        hub.requests.append((self.command, self.path, self.headers.get("Range")))
        if hub.hangs:
            time.sleep(hub.hangs)
        status = hub.answers.pop(0) if hub.answers else None
        if status:
            return self._refuse(status)
        if self.path.startswith("/lfs/"):
            content = hub.sent or next(c for c in hub.files.values() if hashlib.sha256(c).hexdigest() == self.path[5:])
            return self._send(content, lfs=True)
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", urllib.parse.urlsplit(self.path).path)
        if not found:
            return self._refuse(404)
        repository, revision, name = found[1], urllib.parse.unquote(found[2]), found[3]
        allowed = self.headers.get("Authorization") == f"Bearer {hub.token}"
        if repository in hub.private and not allowed or repository not in {where for where, _ in hub.files}:
            return self._refuse(401 if not allowed else 404, "RepoNotFound")
        commit = hub.commit(repository)
        if revision not in ("main", commit):
            return self._refuse(404, "RevisionNotFound")
        if repository in hub.gated and not allowed:
            return self._refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo")
        if (repository, name) not in hub.files:
            return self._refuse(404, "EntryNotFound")
        return self._file(hub.files[repository, name], name, commit)

    def _file(self, content, name, commit):
        if not name.endswith((".safetensors", ".bin")):
            mark = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            return self._send(content, {"X-Repo-Commit": commit, "ETag": f'"{mark}"'})
        mark = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": commit, "X-Linked-Etag": f'"{mark}"', "X-Linked-Size": str(len(content))}
        return self._send(
            b"", {**headers, "Location": f"http://localhost:{self.server.server_port}/lfs/{mark}"}, status=302
        )

    def _send(self, content, headers=(), status=200, lfs=False):
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "") if lfs else "")
        start = int(start[1]) if start else 0
        if start:
            headers, status = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}, 206
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        ends = self.server.breaks_off.pop(0) if lfs and self.server.breaks_off else len(content)
        with contextlib.suppress(OSError):
            self.wfile.write(content[start:ends])
        self.close_connection = ends < len(content)

    def _refuse(self, status, code=""):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass
