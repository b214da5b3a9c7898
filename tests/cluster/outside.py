"""What a cluster asks outside of itself: an identity provider and an admission webhook, on one port.

Usage: outside.py FOLDER PORT    FOLDER holds tls.crt and tls.key; tokens of people are left there, by name
"""

import base64
import http.server
import json
import pathlib
import ssl
import subprocess
import sys
import time

folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
issuer = f"https://127.0.0.1:{port}"


def openssl(*args, given=None):
    return subprocess.run(["openssl", *args], input=given, check=True, capture_output=True).stdout


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key(name):
    path = folder / f"{name}.pem"
    path.write_bytes(openssl("genrsa", "2048"))
    return path


def token(name, signed_by, **claims):
    now = int(time.time())
    said = {"iss": issuer, "aud": "cluster", "sub": name, "iat": now, "nbf": now - 60, "exp": now + 3600, **claims}
    parts = ({"alg": "RS256", "kid": "ours"}, said)
    signed = ".".join(text(json.dumps(part).encode()) for part in parts)
    signature = openssl("dgst", "-sha256", "-sign", str(signed_by), given=signed.encode())
    (folder / f"{name}.token").write_text(f"{signed}.{text(signature)}")


ours = key("ours")
modulus = openssl("rsa", "-in", str(ours), "-noout", "-modulus").decode().strip().split("=")[1]
documents = {
    "/.well-known/openid-configuration": {"issuer": issuer, "jwks_uri": f"{issuer}/keys"},
    "/keys": {"keys": [{"kty": "RSA", "kid": "ours", "alg": "RS256", "use": "sig", "n": text(bytes.fromhex(modulus)), "e": "AQAB"}]},
}
people = {"email": "alice@example.com", "email_verified": True, "groups": ["devs"]}
token("alice", ours, **people)
token("late", ours, **people, exp=int(time.time()) - 10)
token("elsewhere", ours, **people, aud="another")
token("forged", key("theirs"), **people)


def review(asked, may_change):
    """Refuses what is labelled forbidden; marks what is to be marked, if it may change it; thinks about what is slow."""
    answer = {"uid": asked["uid"], "allowed": True}
    labels = (asked.get("object") or {}).get("metadata", {}).get("labels", {})
    if "slow" in labels and may_change:
        time.sleep(6)
    if "forbidden" in labels:
        answer.update(allowed=False, status={"code": 403, "message": f"{asked['userInfo']['username']} may not"})
    elif "mark" in labels and may_change:
        patch = [{"op": "add", "path": "/metadata/labels/marked", "value": asked["operation"].lower()}]
        answer.update(patchType="JSONPatch", patch=base64.b64encode(json.dumps(patch).encode()).decode())
        answer["warnings"] = ["it was marked"]
    return answer


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200 if document else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(documents.get(self.path))

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = review(asked["request"], may_change=self.path.startswith("/mutate?"))
        self.answer({"apiVersion": asked["apiVersion"], "kind": asked["kind"], "response": said})

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
(folder / "ready").touch()
server.serve_forever()
