#!/usr/bin/env python3
"""A small authentication service, as an operator might write one:
`http_auth_service.py USERS SECRET [CERTIFICATE KEY]`.

USERS is a JSON file: name -> {"password", and what is answered}. Whoever does not
show SECRET in X-Restante-Secret gets 500. The port stands on stdout, then one line
of JSON for each request. The paths: /json, /form, /basic, and /slow, /broken.
"""
import base64
import hmac
import http.server
import json
import ssl
import sys
import time
import urllib.parse


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, said=None):
        body = b"" if said is None else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def judge(self, asked):
        shown = {"path": self.path, "method": self.command}
        shown.update((key, value) for key, value in asked.items() if key != "password")
        print(json.dumps(shown), flush=True)
        secret = self.headers.get("x-restante-secret", "")
        if not hmac.compare_digest(secret, self.server.secret):
            return self.answer(500)
        if self.path == "/slow":
            time.sleep(20)
        if self.path == "/broken":
            return self.answer(200, ["yes"])
        with open(self.server.users, encoding="utf-8") as users:
            found = json.load(users).get(asked["user"])
        if found is None:
            return self.answer(404)
        if not hmac.compare_digest(found["password"].encode(), asked["password"].encode()):
            return self.answer(401)
        return self.answer(200, found.get("answer"))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["content-type"] == "application/json":
            return self.judge(json.loads(body))
        return self.judge(dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)))

    def do_GET(self):
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            return self.answer(400)
        user, _, password = base64.b64decode(token).decode().partition(":")
        return self.judge({"user": user, "password": password})


def main(users, secret, certificate=None, key=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.daemon_threads = True
    server.users, server.secret = users, secret
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
