#!/usr/bin/env python3
"""Checks DSSE envelopes with securesystemslib and in-toto-attestation, which fedseal did not write.

    check.py check PUBLIC_KEY_HEX PREDICATE_TYPE ENVELOPE_JSON [SHA256_OF_A_SUBJECT ...]
    check.py make SECRET_SEED_HEX PREDICATE_TYPE PREDICATE_JSON SUBJECT_NAME SHA256 > ENVELOPE_JSON

`check` verifies the signature, validates the statement and compares its subjects; `make` signs a
statement, for the Rust side to verify. Exit status 1 with a reason when something is wrong.
"""

import hashlib
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementPb
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def public_key(raw: bytes) -> SSlibKey:
    keyid = hashlib.sha256(raw).hexdigest()[:16]
    return SSlibKey(keyid, "ed25519", "ed25519", {"public": raw.hex()})


def check(key_hex: str, predicate_type: str, path: str, *subjects: str) -> None:
    with open(path, encoding="utf-8") as file:
        envelope = Envelope.from_dict(json.load(file))
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ValueError(f"payload type {envelope.payload_type}")
    envelope.verify([public_key(bytes.fromhex(key_hex))], threshold=1)
    statement = json_format.Parse(envelope.payload, StatementPb())
    Statement.copy_from_pb(statement).validate()
    if statement.predicate_type != predicate_type:
        raise ValueError(f"predicate type {statement.predicate_type}")
    found = [subject.digest["sha256"] for subject in statement.subject]
    if found != list(subjects):
        raise ValueError(f"subjects {found}, expected {list(subjects)}")
    print(f"ok: {predicate_type}, {len(found)} subjects")


def make(seed_hex: str, predicate_type: str, predicate: str, name: str, sha256: str) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed_hex))
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": predicate_type,
        "predicate": json.loads(predicate),
    }
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(private, public_key(raw)))
    print(json.dumps(envelope.to_dict(), sort_keys=True, separators=(",", ":")))


def main() -> int:
    commands = {"check": check, "make": make}
    try:
        commands[sys.argv[1]](*sys.argv[2:])
    except Exception as error:  # every failure must reach the exit status
        print(f"dsse oracle: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
