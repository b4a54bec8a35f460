"""Logs in with a mechanism of GNU SASL (libgsasl), whose code has nothing to do
with the server's, and says what came of it.

usage: gsasl_login.py HOST PORT off|starttls|implicit AUTHORITY MECHANISM USER AUTHZID BINDING

The password is read from standard input. AUTHZID may be empty. BINDING is what the
mechanism is told about the channel: "none", "exporter" (RFC 9266), or "wrong"; with
"hidden" it says that it could be bound and was not offered to (RFC 5802 section 6),
which libgsasl does not say, since it goes no further itself.
Each challenge is printed, decoded, and then the status line that ends the exchange.
Exit code 3: the server did not prove that it knows the password.
"""

import base64
import ctypes
import socket
import sys

from OpenSSL import SSL

# gsasl.h
OK, NEEDS_MORE = 0, 1
AUTHID, AUTHZID, PASSWORD, SERVICE, HOSTNAME = 1, 2, 3, 5, 6
CB_TLS_EXPORTER = 25


class Connection:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=120)
        self.socket.settimeout(120)
        self.buffer = b""

    def start_tls(self, host, authority):
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.load_verify_locations(authority)
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: arguments[-1] == 1)
        # pyOpenSSL knows no time-outs: with one, its sockets do not block.
        self.socket.settimeout(None)
        self.socket = SSL.Connection(context, self.socket)
        self.socket.set_tlsext_host_name(host.encode())
        self.socket.set_connect_state()
        self.socket.do_handshake()

    def exporter(self):
        return self.socket.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")

    def line(self):
        while b"\r\n" not in self.buffer:
            octets = self.socket.recv(4096)
            if not octets:
                sys.exit("the server closed")
            self.buffer += octets
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode()

    def ask(self, command):
        self.socket.sendall(command.encode() + b"\r\n")
        return self.line()


def mechanism(name, properties):
    """A function from each challenge, in Base64, to its response."""
    library = ctypes.CDLL("libgsasl.so.18")
    library.gsasl_strerror.restype = ctypes.c_char_p
    context, session = ctypes.c_void_p(), ctypes.c_void_p()

    def check(code):
        if code not in (OK, NEEDS_MORE):
            print(library.gsasl_strerror(code).decode())
            sys.exit(3)
        return code

    check(library.gsasl_init(ctypes.byref(context)))
    check(library.gsasl_client_start(context, name.encode(), ctypes.byref(session)))
    for key, value in properties.items():
        library.gsasl_property_set(session, key, value)

    def respond(challenge):
        response = ctypes.c_char_p()
        code = library.gsasl_step64(session, challenge.encode(), ctypes.byref(response))
        check(code)
        return code, response.value.decode()

    return respond


def main():
    host, port, channel, authority, name, user, authzid, binding = sys.argv[1:]
    password = sys.stdin.buffer.read().rstrip(b"\n")
    connection = Connection(host, int(port))
    if channel == "implicit":
        connection.start_tls(host, authority)
    connection.line()
    if channel == "starttls":
        assert connection.ask("STLS").startswith("+OK")
        connection.start_tls(host, authority)

    properties = {
        AUTHID: user.encode(),
        PASSWORD: password,
        SERVICE: b"pop",
        HOSTNAME: host.encode(),
    }
    if authzid:
        properties[AUTHZID] = authzid.encode()
    if binding in ("exporter", "wrong"):
        octets = connection.exporter() if binding == "exporter" else bytes(32)
        properties[CB_TLS_EXPORTER] = base64.b64encode(octets)
    respond = mechanism(name, properties)

    reply = connection.ask("AUTH " + name)
    proved = NEEDS_MORE
    while reply.startswith("+ "):
        print(base64.b64decode(reply[2:]).decode())
        proved, response = respond(reply[2:])
        if binding == "hidden":
            message = base64.b64decode(response).replace(b"n,,", b"y,,", 1)
            response = base64.b64encode(message).decode()
        reply = connection.ask(response)
    print(reply)
    if reply.startswith("+OK") and proved != OK:
        sys.exit(3)


main()
