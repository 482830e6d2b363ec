"""A small HTTP service for jobs/stack-demo.toml: answers with its name, its version and the group that the router named.

service.py PORT NAME VERSION SLOW_MS [NEXT]: /healthz is answered at once, anything else after SLOW_MS. With NEXT, the address of
the next layer behind the router, it asks there first, and passes on the group and the user.
"""

import http.client
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, NAME, VERSION, SLOW_S = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]) / 1000
NEXT = sys.argv[5] if len(sys.argv) > 5 else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, text = 200, f"{NAME} {VERSION} {self.headers.get('x-stack-group', '-')}"
        if self.path != "/healthz":
            time.sleep(SLOW_S)
            if NEXT:
                status, behind = ask_next({name: self.headers[name] for name in ("x-stack-group", "x-user") if name in self.headers})
                text = f"{text} / {behind}"
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def ask_next(headers):
    connection = http.client.HTTPConnection(NEXT, timeout=5)
    try:
        connection.request("GET", "/", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
