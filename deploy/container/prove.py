#!/usr/bin/env python3
"""What the image promises, without a container engine: prove.py BINARY

The static binary and a bundle of certificates are put into a directory that is otherwise empty, like the image, and run there as user 65532:
it knows time zones, resolves names over DNS, answers health checks, and trusts the bundle and nothing else. Needs root, for chroot and for
port 53 of a loopback address; talks to loopback only.
"""

import http.server
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading

USER = 65532
NAMESERVER = "127.9.4.64"
NAME = "autotune.test"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
ROOT_OF_TREE = pathlib.Path(__file__).resolve().parent.parent.parent


def answer(question):
    """A DNS reply: NAME is this machine, nothing else is known."""
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    kind, end = struct.unpack(">H", question[at + 1 : at + 3])[0], at + 5
    known = ".".join(labels).lower() == NAME
    records = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.1") if known and kind == 1 else b""
    flags = 0x8180 if known else 0x8183
    return question[:2] + struct.pack(">HHHHH", flags, 1, 1 if records else 0, 0, 0) + question[12:end] + records


def nameserver():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((NAMESERVER, 53))

    def serve():
        while True:
            question, who = server.recvfrom(512)
            server.sendto(answer(question), who)

    threading.Thread(target=serve, daemon=True).start()


class Healthy(http.server.BaseHTTPRequestHandler):
    """Says ok to everything, and keeps quiet. Counts what it was asked."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    do_POST = do_GET

    def log_message(self, *_):
        pass


def web(certificate=None):
    """The port of a server that is healthy."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Healthy,), {}))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1], server.RequestHandlerClass


def inside(root, *arguments, **environment):
    """Prepares a run in the image, as its user."""

    def enter():
        os.chroot(root)
        os.chdir("/var/lib/autotune")
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)

    environment = {"SSL_CERT_FILE": f"/{BUNDLE}", "TMPDIR": "/var/lib/autotune"} | environment
    return dict(args=["/usr/bin/autotune", *arguments], preexec_fn=enter, env=environment)


def expect(root, code, *arguments, says="", **environment):
    ran = subprocess.run(**inside(root, *arguments, **environment), capture_output=True, text=True, timeout=120)
    told = ran.stdout + ran.stderr
    if ran.returncode != code or says not in told:
        sys.exit(f"prove.py: {' '.join(arguments)} ended with {ran.returncode}, expected {code} and {says!r}:\n{told}")
    return told


def authority(folder):
    """A certificate of NAME, and the authority that signed it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    # Signed by itself: authority and server in one.
    openssl += ["-keyout", key, "-out", certificate, "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    openssl += ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(openssl, check=True, capture_output=True)
    return certificate, key


def certificates(root, folder):
    """Requests to AWS trust the bundle and nothing else. Only with the feature aws."""
    if "run" not in expect(root, 0, "--help").split():
        return "not asked of a binary without the feature aws: certificates"
    certificate, key = authority(folder)
    bundle = root / BUNDLE
    public = bundle.read_bytes()
    for trusted in (False, True):
        bundle.write_bytes(public + (certificate.read_bytes() if trusted else b""))
        port, server = web((certificate, key))
        account = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AUTOTUNE__REGION": "eu-central-1"}
        # Whatever it makes of the answer: a request arrives only if the certificate was believed.
        expect(root, 3, "plan", AUTOTUNE__ENDPOINT_URL=f"https://{NAME}:{port}", AWS_EC2_METADATA_DISABLED="true", **account)
        if bool(server.asked) != trusted:
            sys.exit(f"prove.py: certificate trusted: {trusted}, requests that arrived: {server.asked}")
    return "the bundle of certificates is what is trusted"


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        root = folder / "root"
        folder.chmod(0o755)
        for part in ("usr/bin", "etc/ssl/certs", "var/lib/autotune", "policies"):
            (root / part).mkdir(parents=True)
        shutil.copy(binary, root / "usr/bin/autotune")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / BUNDLE)
        os.chown(root / "var/lib/autotune", USER, USER)
        # What an engine adds to every container; no hosts file, so that names take the way over DNS.
        (root / "etc/resolv.conf").write_text(f"nameserver {NAMESERVER}\n")
        nameserver()

        print(expect(root, 0, "--version").strip())
        policy = (ROOT_OF_TREE / "policies/warm-hours.toml").read_text()
        for zone, code in (("Europe/Berlin", 0), ("Europe/Nowhere", 2)):
            (root / "policies/policy.toml").write_text(policy.replace("Etc/UTC", zone))
            expect(root, code, "validate", "/policies/policy.toml", says="" if code == 0 else zone)
        print("time zones are known")

        port, _ = web()
        expect(root, 0, "health", "--url", f"http://{NAME}:{port}", says="ok")
        expect(root, 3, "health", "--url", f"http://nowhere.test:{port}", says="no daemon answers")
        print("names are resolved")

        with socket.create_server(("127.0.0.1", 0)) as free:
            listen = f"127.0.0.1:{free.getsockname()[1]}"
        demo = inside(root, "demo", "--listen", listen, "--for", "1h")
        demo = subprocess.Popen(**demo, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            for line in demo.stdout:
                if listen in line:
                    break
            expect(root, 0, "health", "--url", f"http://{listen}", says="ok")
            expect(root, 0, "status", "--url", f"http://{listen}")
        finally:
            demo.terminate()
            demo.wait(timeout=30)
        expect(root, 3, "health", "--url", f"http://{listen}", says="no daemon answers")
        print("health is answered, and its absence told")
        print(certificates(root, folder))


if __name__ == "__main__":
    main(sys.argv[1])
