"""A server on this machine that answers as Google's object store does: one bucket in memory, as much of its JSON API as
gcsfs and TensorStore ask for (https://cloud.google.com/storage/docs/json_api/v1), with generations and preconditions.

    python -m tests.object_store PORT
"""

import contextlib
import email.parser
import email.policy
import http.server
import itertools
import json
import re
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.command import free_port

BUCKET = 'bucket'
OBJECT = re.compile(r'(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)')
LIST = re.compile(r'(?:/upload)?/storage/v1/b/([^/]+)/o')
COPY = re.compile(r'/storage/v1/b/([^/]+)/o/([^/]+)/(?:rewriteTo|copyTo)/b/([^/]+)/o/([^/]+)')
MISSING, FAILED, UNCHANGED = 404, 412, 304


@contextlib.contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """Runs the server; yields the environment in which gcsfs and TensorStore find it."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, '-m', 'tests.object_store', str(port)], stdout=subprocess.PIPE
    ) as server:
        try:
            assert server.stdout.readline() == b'ready\n'
            address = f'http://localhost:{port}'
            yield {
                'STORAGE_EMULATOR_HOST': address,
                'TENSORSTORE_GCS_HTTP_URL': address,
                'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'token',  # TensorStore looks for no other credentials then
                'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',  # asks Google of what kind the bucket is
            }
        finally:
            server.terminate()


class Object(NamedTuple):
    """Bytes, and the number that changes with every write."""

    content: bytes
    generation: int

    def about(self, name: str) -> dict[str, Any]:
        time = '2026-01-01T00:00:00.000Z'
        return {
            'kind': 'storage#object',
            **{'bucket': BUCKET, 'name': name, 'id': f'{BUCKET}/{name}/{self.generation}'},
            **{'generation': str(self.generation), 'metageneration': '1', 'size': str(len(self.content))},
            **{'timeCreated': time, 'updated': time, 'contentType': 'application/octet-stream'},
            **{'etag': str(self.generation), 'storageClass': 'STANDARD'},
        }


class Store:
    """The bucket; one request at a time looks or writes."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.uploads: dict[str, tuple[str, dict[str, str], bytes]] = {}
        self.lock = threading.Lock()
        self._numbers = itertools.count(1)

    def number(self) -> int:
        return next(self._numbers)

    def refusal(self, name: str, query: dict[str, str]) -> int:
        """Returns the status that a precondition answers with, or 0."""
        there = self.objects[name].generation if name in self.objects else 0
        if 'ifGenerationMatch' in query and int(query['ifGenerationMatch']) != there:
            return FAILED
        if 'ifGenerationNotMatch' in query and int(query['ifGenerationNotMatch']) == there:
            return UNCHANGED
        return 0

    def write(self, name: str, content: bytes) -> dict[str, Any]:
        self.objects[name] = Object(content, self.number())
        return self.objects[name].about(name)

    def list(self, query: dict[str, str]) -> dict[str, Any]:
        prefix, delimiter = query.get('prefix', ''), query.get('delimiter')
        start, end = query.get('startOffset', ''), query.get('endOffset')
        names = [name for name in sorted(self.objects) if name.startswith(prefix) and name >= start]
        names = [name for name in names if end is None or name < end]
        folders = {}
        if delimiter:
            for name in names:
                head, found, _ = name[len(prefix) :].partition(delimiter)
                if found:
                    folders[prefix + head + delimiter] = None
            names = [name for name in names if delimiter not in name[len(prefix) :]]
        items = [self.objects[name].about(name) for name in names]
        return {'kind': 'storage#objects', 'items': items, 'prefixes': list(folders)}


class Handler(http.server.BaseHTTPRequestHandler):
    """The requests, by method and path."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True  # it holds an answer's body back for 40 ms, behind its headers
    store = Store()

    def do_GET(self) -> None:
        path, query = self._asked()
        with self.store.lock:
            if match := OBJECT.fullmatch(path):
                self._read(urllib.parse.unquote(match[2]), query)
            elif LIST.fullmatch(path):
                self._json(self.store.list(query))
            elif path == f'/storage/v1/b/{BUCKET}':
                self._json({'kind': 'storage#bucket', 'name': BUCKET, 'id': BUCKET})
            else:
                self._error(MISSING)

    def do_POST(self) -> None:
        path, query = self._asked()
        body = self._body()
        with self.store.lock:
            if path == '/batch/storage/v1':
                self._batch(body)
            elif match := COPY.fullmatch(path):
                self._copy(*map(urllib.parse.unquote, (match[2], match[4])), rewrite='rewriteTo' in path)
            elif (match := LIST.fullmatch(path)) and match[1] == BUCKET and 'uploadType' in query:
                self._upload(query, body)
            elif 'upload_id' in query:
                self._go_on(query['upload_id'], body)
            else:
                self._error(MISSING)

    def do_PUT(self) -> None:
        _, query = self._asked()
        body = self._body()
        with self.store.lock:
            self._go_on(query['upload_id'], body)

    def do_DELETE(self) -> None:
        path, query = self._asked()
        with self.store.lock:
            status = self._delete(path, query)
        self._answer(status, b'') if status == 204 else self._error(status)

    def log_message(self, *_: Any) -> None:
        """Tells nothing."""

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urllib.parse.urlsplit(self.path)
        return parts.path, dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get('Content-Length', 0)))

    def _read(self, name: str, query: dict[str, str]) -> None:
        found = self.store.objects.get(name)
        status = MISSING if found is None else self.store.refusal(name, query)
        if status:
            self._error(status)
        elif query.get('alt') != 'media':
            self._json(found.about(name))
        else:
            content, headers, status = found.content, {'x-goog-generation': str(found.generation)}, 200
            if wanted := re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('Range', '')):
                first, last = int(wanted[1]), min(int(wanted[2] or sys.maxsize), len(content) - 1)
                if first >= len(content):
                    self._error(416)
                    return
                headers['Content-Range'] = f'bytes {first}-{last}/{len(content)}'
                content, status = content[first : last + 1], 206
            self._answer(status, content, headers)

    def _upload(self, query: dict[str, str], body: bytes) -> None:
        kind, name = query['uploadType'], query.get('name')
        if kind == 'multipart':
            head = f'Content-Type: {self.headers["Content-Type"]}\r\n\r\n'.encode()
            parts = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body).get_payload()
            name = json.loads(parts[0].get_payload(decode=True))['name']
            # The parser changes line ends of what it takes for text.
            boundary = re.search(r'boundary="?([^";]+)', self.headers['Content-Type'])[1].encode()
            body = body.split(b'--' + boundary)[2].split(b'\r\n\r\n' if b'\r\n\r\n' in body else b'\n\n', 1)[
                1
            ]
            body = body.removesuffix(b'\r\n') if body.endswith(b'\r\n') else body.removesuffix(b'\n')
        if kind == 'resumable':
            name = name or json.loads(body)['name']
            identity = str(self.store.number())
            self.store.uploads[identity] = (name, query, b'')
            address = f'http://{self.headers["Host"]}/upload?upload_id={identity}'
            return self._answer(200, b'', {'Location': address})
        return self._write(name, query, body)

    def _go_on(self, identity: str, body: bytes) -> None:
        name, query, before = self.store.uploads[identity]
        content = before + body
        self.store.uploads[identity] = (name, query, content)
        if self.headers.get('Content-Range', '').endswith('/*'):
            return self._answer(308, b'', {'Range': f'bytes=0-{len(content) - 1}'})
        return self._write(name, query, content)

    def _write(self, name: str, query: dict[str, str], content: bytes) -> None:
        status = self.store.refusal(name, query)
        self._error(status) if status else self._json(self.store.write(name, content))

    def _copy(self, source: str, target: str, *, rewrite: bool) -> None:
        if source not in self.store.objects:
            return self._error(MISSING)
        about = self.store.write(target, self.store.objects[source].content)
        return self._json(
            {'kind': 'storage#rewriteResponse', 'done': True, 'resource': about} if rewrite else about
        )

    def _delete(self, path: str, query: dict[str, str]) -> int:
        match = OBJECT.fullmatch(path)
        name = urllib.parse.unquote(match[2]) if match else ''
        if name not in self.store.objects:
            return MISSING
        status = self.store.refusal(name, query)
        if not status:
            del self.store.objects[name]
        return status or 204

    def _batch(self, body: bytes) -> None:
        boundary = re.search(r'boundary="?([^";]+)', self.headers['Content-Type'])[1]
        answers = []
        for part in body.decode().split(f'--{boundary}')[1:-1]:
            path = re.search(r'DELETE (\S+)', part)[1]
            identity = re.search(r'(?i)content-id: <?([^>\s]+)', part)
            status = self._delete(urllib.parse.urlsplit(path).path, {})
            told = f'Content-ID: <response-{identity[1] if identity else ""}>\r\n'
            answers.append(
                f'--{boundary}\r\nContent-Type: application/http\r\n{told}\r\n'
                f'HTTP/1.1 {status} {"No Content" if status == 204 else "Not Found"}\r\nContent-Length: 0\r\n\r\n\r\n'
            )
        content = ''.join(answers) + f'--{boundary}--\r\n'
        self._answer(200, content.encode(), {'Content-Type': f'multipart/mixed; boundary={boundary}'})

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {'Content-Type': 'application/json'})

    def _error(self, status: int) -> None:
        content = (
            b''
            if status == UNCHANGED
            else json.dumps({'error': {'code': status, 'message': 'refused'}}).encode()
        )
        self._answer(status, content, {'Content-Type': 'application/json'})

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    """Says nothing about clients that are gone before they have their answer."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    server = Server(('localhost', int(sys.argv[1])), Handler)
    print('ready', flush=True)
    server.serve_forever()


if __name__ == '__main__':
    main()
