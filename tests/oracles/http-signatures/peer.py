#!/usr/bin/env python3
"""Signs and verifies requests with requests-http-signature, which fedseal did not write.

    peer.py sign FILE
    peer.py verify FILE
"""

import datetime
import json
import sys
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from http_message_signatures import MappingKeyResolver
from requests_http_signature import HTTPSignatureAuth, algorithms

COVERED = ("@method", "@authority", "@path", "@query")


def covered(request: dict) -> tuple:
    return COVERED + (("content-type",) if request["body"] else ())


def prepared(request: dict) -> requests.PreparedRequest:
    body = bytes.fromhex(request["body"])
    return requests.Request(
        request["method"], request["url"], headers=request["headers"], data=body or None
    ).prepare()


def sign(job: dict) -> list:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(job["seed"]))
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signed = []
    for request in job["requests"]:
        auth = HTTPSignatureAuth(
            signature_algorithm=algorithms.ED25519,
            key=pem,
            key_id=job["keyid"],
            covered_component_ids=covered(request),
            tag=job["tag"],
            use_nonce=True,
            expires_in=datetime.timedelta(seconds=120),
        )
        message = prepared(request)
        auth(message)
        address = urlsplit(message.url)
        # As urllib3 sends it: without the scheme's own port.
        port = address.port
        if port == {"https": 443, "http": 80}[address.scheme]:
            port = None
        host = address.hostname if port is None else f"{address.hostname}:{port}"
        signed.append({
            "method": message.method,
            "secure": address.scheme == "https",
            "host": host,
            "target": message.path_url,
            "headers": {name.lower(): value for name, value in message.headers.items()},
            "body": request["body"],
        })
    return signed


def verify(job: dict) -> list:
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(job["public"]))
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    keys = MappingKeyResolver(private_keys={}, public_keys={job["keyid"]: pem})
    said = []
    for request in job["requests"]:
        message = prepared(request)
        try:
            result = HTTPSignatureAuth.verify(
                message,
                require_components=covered(request),
                signature_algorithm=algorithms.ED25519,
                key_resolver=keys,
                max_age=datetime.timedelta(seconds=300),
                expect_tag=job["tag"],
            )
            body = bytes.fromhex(request["body"])
            said.append("ok" if (result.body or b"") == body else "another body")
        except Exception as error:  # every refusal is an answer
            said.append(f"{type(error).__name__}: {error}")
    return said


def main() -> None:
    with open(sys.argv[2], encoding="utf-8") as file:
        job = json.load(file)
    print(json.dumps({"sign": sign, "verify": verify}[sys.argv[1]](job)))


if __name__ == "__main__":
    main()
