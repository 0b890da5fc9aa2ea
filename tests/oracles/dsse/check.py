#!/usr/bin/env python3
"""Checks DSSE envelopes with securesystemslib and in-toto-attestation, which fedseal did not write.

    check.py check PUBLIC_KEY_HEX PREDICATE_TYPE ENVELOPE_JSON [SHA256_OF_A_SUBJECT ...]
    check.py make TOOL SECRET_SEED_HEX PREDICATE_TYPE PREDICATE_JSON SUBJECT_NAME SHA256 > ENVELOPE_JSON

`check` verifies the signature, validates the statement and compares its subjects; `make` signs a
statement, for the Rust side to verify. TOOL makes the statement: `canonical` (json, as fedseal writes
it), `in-toto-attestation`, `sigstore` (its StatementBuilder), or `two` (in-toto-attestation's, signed by
a P-256 key first, in the URL-safe alphabet, without key ids). Exit status 1 with a reason when something
is wrong.
"""

import base64
import hashlib
import json
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf import json_format
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
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


def canonical(predicate_type: str, predicate: dict, name: str, sha256: str) -> bytes:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()


def in_toto(predicate_type: str, predicate: dict, name: str, sha256: str) -> bytes:
    subject = ResourceDescriptor(
        name=name,
        digest={"sha256": sha256, "sha512": "ab" * 64},
        media_type="application/wasm",
    )
    statement = Statement([subject.pb], predicate_type, predicate)
    statement.validate()
    return json_format.MessageToJson(statement.pb).encode()


def sigstore(predicate_type: str, predicate: dict, name: str, sha256: str) -> bytes:
    from sigstore.dsse import StatementBuilder, Subject

    builder = StatementBuilder([Subject(name=name, digest={"sha256": sha256})])
    return builder.predicate_type(predicate_type).predicate(predicate).build()._contents


def two(envelope: Envelope) -> dict:
    """A signature of another kind first, and the other alphabet."""
    stranger = ec.derive_private_key(7, ec.SECP256R1())
    first = stranger.sign(envelope.pae(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    second = [bytes.fromhex(signature.signature) for signature in envelope.signatures.values()]
    text = base64.urlsafe_b64encode
    return {
        "payload": text(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [{"sig": text(sig).decode()} for sig in [first, *second]],
    }


TOOLS = {"canonical": canonical, "in-toto-attestation": in_toto, "sigstore": sigstore, "two": in_toto}


def make(tool: str, seed_hex: str, predicate_type: str, predicate: str, *subject: str) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed_hex))
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    payload = TOOLS[tool](predicate_type, json.loads(predicate), *subject)
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(private, public_key(raw)))
    made = two(envelope) if tool == "two" else envelope.to_dict()
    print(json.dumps(made, sort_keys=True, separators=(",", ":")))


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
