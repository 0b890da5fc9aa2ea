"""Checkpoints and cosignatures as aics-tlog has them: an implementation
of C2SP signed-note, tlog-checkpoint and tlog-cosignature that fedseal did not write.

    check.py verify NOTE_FILE LOG_VKEY QUORUM WITNESS_VKEY...   exit 0 when log and quorum signed
    check.py cosign NOTE_FILE SEED_HEX NAME TIME                prints a cosignature line
"""

import sys

from aics_tlog import (
    cosignature_vkey,
    parse_note,
    sign_cosignature,
    verify_checkpoint,
)
from aics_tlog.checkpoint import checkpoint_from_note
from aics_tlog.note import Note, format_vkey, parse_vkey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def verify(path, log, quorum, *witnesses):
    with open(path, "rb") as file:
        note = parse_note(file.read())
    keys = [parse_vkey(text) for text in witnesses]
    # Read and written again, a verifier key is the same text.
    assert [format_vkey(key) for key in keys] == list(witnesses), "verifier keys"
    result = verify_checkpoint(note, parse_vkey(log), keys, int(quorum))
    print(f"{result.size} entries, {result.cosignature_count} cosignatures, {result.error}")
    return 0 if result.ok and result.log_ok else 1


def cosign(path, seed, name, time):
    with open(path, "rb") as file:
        checkpoint, note = checkpoint_from_note(file.read())
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    _, line = sign_cosignature(
        key, name, int(time), checkpoint.origin, checkpoint.size, checkpoint.root
    )
    text = Note(note.text, (line,)).serialise()
    sys.stdout.write(text[len(note.text) + 1 :])
    sys.stderr.write(format_vkey(cosignature_vkey(name, key.public_key())) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit({"verify": verify, "cosign": cosign}[sys.argv[1]](*sys.argv[2:]))
