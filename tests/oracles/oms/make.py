"""Signatures of model-signing in forms other than its default, over the folder made-by-model-signing:

    make.py SIGNER_PEM CERTIFICATE_PEM

SIGNER_PEM is a P-256 key, CERTIFICATE_PEM a certificate of it. Writes outside.sig (the default form, outside
the folder), blake2b.sig, shards.sig and certificate.sig, and signer.compressed.pem, the public key with a
compressed point, to the folder of this script.
"""

import base64
import pathlib
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from model_signing import hashing, signing

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "made-by-model-signing"


def main(signer, certificate):
    ignored = {"paths": [FOLDER / "model.sig"], "ignore_git_paths": True}

    def by_key():
        return signing.Config().use_elliptic_key_signer(private_key=pathlib.Path(signer))

    def config():
        return hashing.Config().set_ignored_paths(**ignored)

    blake = config().use_file_serialization(hashing_algorithm="blake2")
    shards = config().use_shard_serialization(hashing_algorithm="sha256", shard_size=1000)
    for name, hashes in [("outside", config()), ("blake2b", blake), ("shards", shards)]:
        by_key().set_hashing_config(hashes).sign(FOLDER, HERE / f"{name}.sig")
    signing.Config().use_certificate_signer(
        private_key=pathlib.Path(signer),
        signing_certificate=pathlib.Path(certificate),
        certificate_chain=[pathlib.Path(certificate)],
    ).set_hashing_config(config()).sign(FOLDER, HERE / "certificate.sig")
    private = serialization.load_pem_private_key(pathlib.Path(signer).read_bytes(), None)
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    # SubjectPublicKeyInfo of id-ecPublicKey with secp256r1 (RFC 5480).
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    text = base64.b64encode(head + point).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    pem = ["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]
    (HERE / "signer.compressed.pem").write_text("\n".join(pem))


if __name__ == "__main__":
    main(*sys.argv[1:])
