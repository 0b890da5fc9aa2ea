"""A log that asks a witness of fedseal's, with the client of aics-witness and the logs of aics-tlog:
C2SP tlog-witness as of July 2026, which fedseal did not write.

    client.py URL WITNESS_VKEY LOG_SEED_HEX ORIGIN

The witness must know the log by that origin and the seed's key, and have seen nothing of it yet. Exit
status 0 when every answer is as the specification says; it prints how many were asked for.
"""

import sys
import urllib.error
import urllib.request

from aics_tlog import EMPTY_HASH, MerkleTree, Note, parse_note, parse_vkey, verify_cosignature
from aics_tlog.checkpoint import Checkpoint, checkpoint_from_note
from aics_tlog.note import SignatureLine, sign_note
from aics_witness.feeder import WitnessClient, WitnessRejected
from aics_witness.protocol import format_add_checkpoint_request, origin_hash
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROOM = 16  # signatures that a note must have room for
POST_QUANTUM = 5000  # bytes of one


def main(url, witness, seed, origin):
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    vkey = parse_vkey(witness)
    tree, other = MerkleTree(), MerkleTree()
    asked = 0

    def note(size, root, extensions=(), strangers=()):
        text = Checkpoint(origin, size, root, tuple(extensions)).text()
        return Note(text, (sign_note(text, key, origin), *strangers)).serialise()

    def answer(path, body=None):
        request = urllib.request.Request(f"{url.rstrip('/')}/{path}", data=body)
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, reply.headers.get("Content-Type"), reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Content-Type"), error.read()

    def post(old, proof, signed):
        return answer("add-checkpoint", format_add_checkpoint_request(old, proof, signed.encode()))

    def expect(what, got, expected):
        nonlocal asked
        asked += 1
        if got != expected:
            sys.exit(f"{what}: expected {expected!r}, got {got!r}")

    def latest():
        return answer(f"{origin_hash(origin)}/checkpoint")

    expect("a checkpoint before there is one", latest()[0], 404)
    with WitnessClient(url, vkey, max_attempts=1) as client:
        # The client itself raises where the answer is not the specification's.
        def submit(signed):
            return client.submit(signed, tree.consistency_proof)

        def rejected(signed):
            try:
                submit(signed)
            except WitnessRejected as error:
                return error.status
            return 200

        expect("size 0 with another root", rejected(note(0, bytes(32))), 422)
        expect("size 0 is locked out by nothing", submit(note(0, EMPTY_HASH)).count("\n"), 1)
        expect("size 0 with a proof", post(0, [bytes(32)], note(0, EMPTY_HASH))[0], 422)
        for step in (1, 2, 5, 250):
            tree.extend(f"entry {tree.size + i}".encode() for i in range(step))
            expect(f"{tree.size} entries", submit(note(tree.size, tree.root())).count("\n"), 1)
        size = tree.size
        other.extend(b"other" for _ in range(size))
        expect("two roots for one size", rejected(note(size, other.root())), 422)
        status, kind, body = post(0, [], note(size, tree.root()))
        expect("an old size that it has not", (status, kind), (409, "text/x.tlog.size"))
        expect("the size that it has", body, f"{size}\n".encode())
        expect("an old size beyond", post(size + 1, [], note(size, tree.root()))[0], 400)
        text = Checkpoint(origin, size, tree.root()).text()
        forged = Note(text, (sign_note(text, Ed25519PrivateKey.generate(), origin),)).serialise()
        expect("another key of its name", post(size, [], forged)[0], 403)
        unknown = note(size, tree.root()).replace(origin, "else")
        expect("another origin", post(size, [], unknown)[0], 404)

        strangers = [
            SignatureLine(f"pq.example/{n}", bytes([n, 1, 2, 3]), bytes([n]) * POST_QUANTUM)
            for n in range(ROOM - 1)
        ]
        extended = note(size, tree.root(), ["extension line"], strangers)
        status, _, body = post(size, [], extended)
        expect("an extension line, and 16 signatures", status, 200)
        line = parse_note(extended.encode() + body).signatures[-1]
        holds = verify_cosignature(
            line.signature,
            vkey.name,
            vkey.public_key,
            origin,
            size,
            tree.root(),
            ["extension line"],
        )
        expect("its cosignature covers the extension line", holds, True)

        status, _, body = latest()
        expect("what was cosigned last", status, 200)
        checkpoint, served = checkpoint_from_note(body)
        expect("its size", (checkpoint.origin, checkpoint.size), (origin, size))
        names = sorted(signature.name for signature in served.signatures)
        expect("who signed it", names, sorted([origin, vkey.name]))
        upper = origin_hash(origin).upper()
        expect("a hash in capitals", answer(f"{upper}/checkpoint")[0], 404)
        expect("another log", answer(f"{origin_hash('else')}/checkpoint")[0], 404)
    print(f"ok: {asked} answers")


if __name__ == "__main__":
    main(*sys.argv[1:])
