"""Logs, checkpoints, cosignatures and proof files as aics-tlog has them: an implementation
of C2SP signed-note, tlog-checkpoint, tlog-cosignature and tlog-tiles that fedseal did not write.

    check.py verify NOTE_FILE LOG_VKEY QUORUM WITNESS_VKEY...   exit 0 when log and quorum signed
    check.py cosign NOTE_FILE SEED_HEX NAME TIME                prints a cosignature line
    check.py audit LOG_DIR LOG_VKEY                             every tile and entry under the root
    check.py proof FILE LOG_DIR LOG_VKEY QUORUM WITNESS_VKEY... a C2SP tlog-proof file: what it
        proves, and whether it is the proof that aics-tlog makes from the log's tiles
"""

import base64
import re
import sys

from aics_tlog import (
    FileSystemTileReader,
    audit_tiles,
    cosignature_vkey,
    inclusion_proof_from_tiles,
    parse_note,
    read_entry,
    sign_cosignature,
    verify_checkpoint,
    verify_leaf_inclusion,
)
from aics_tlog.checkpoint import checkpoint_from_note
from aics_tlog.note import Note, format_vkey, parse_vkey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def read(path):
    with open(path, "rb") as file:
        return file.read()


def signed(text, log, quorum, witnesses):
    """The verified checkpoint of a signed note."""
    note = parse_note(text)
    keys = [parse_vkey(key) for key in witnesses]
    # Read and written again, a verifier key is the same text.
    assert [format_vkey(key) for key in keys] == list(witnesses), "verifier keys"
    result = verify_checkpoint(note, parse_vkey(log), keys, int(quorum))
    print(f"{result.size} entries, {result.cosignature_count} cosignatures, {result.error}")
    if not (result.ok and result.log_ok):
        sys.exit(1)
    checkpoint, _ = checkpoint_from_note(text)
    return checkpoint


def verify(path, log, quorum, *witnesses):
    signed(read(path), log, quorum, witnesses)


def cosign(path, seed, name, time):
    checkpoint, note = checkpoint_from_note(read(path))
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    _, line = sign_cosignature(
        key, name, int(time), checkpoint.origin, checkpoint.size, checkpoint.root
    )
    text = Note(note.text, (line,)).serialise()
    sys.stdout.write(text[len(note.text) + 1 :])
    sys.stderr.write(format_vkey(cosignature_vkey(name, key.public_key())) + "\n")


def audit(folder, log):
    head = signed(read(f"{folder}/checkpoint"), log, 0, ())
    report = audit_tiles(FileSystemTileReader(folder), head.size, head.root)
    print(f"{report.tiles} tiles, {report.bundles} bundles")


# c2sp.org/tlog-proof, section "Format".
PROOF = re.compile(
    rb"c2sp\.org/tlog-proof@v1\n"
    rb"(?:extra [A-Za-z0-9+/]*={0,2}\n)?"
    rb"index (0|[1-9][0-9]*)\n"
    rb"((?:[A-Za-z0-9+/]{43}=\n)*)"
    rb"\n"
    rb"(.*)",
    re.DOTALL,
)


def proof(path, folder, log, quorum, *witnesses):
    parts = PROOF.fullmatch(read(path))
    if not parts:
        sys.exit("not a tlog-proof file")
    index, checkpoint = int(parts[1]), parts[3]
    hashes = [base64.b64decode(line, validate=True) for line in parts[2].split()]
    head = signed(checkpoint, log, quorum, witnesses)
    tiles = FileSystemTileReader(folder)
    entry = read_entry(tiles, index, head.size)
    if not verify_leaf_inclusion(entry, index, head.size, hashes, head.root):
        sys.exit(f"entry {index} is not in the tree")
    if hashes != inclusion_proof_from_tiles(tiles, index, head.size):
        sys.exit(f"entry {index} has another proof")
    print(f"entry {index}, {len(hashes)} hashes")


if __name__ == "__main__":
    commands = {"verify": verify, "cosign": cosign, "audit": audit, "proof": proof}
    commands[sys.argv[1]](*sys.argv[2:])
