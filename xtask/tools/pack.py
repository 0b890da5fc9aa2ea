"""Packs a tree that `cargo xtask dist` staged: `bin`, and `share` beside it.

Python's own library alone, so that it runs wherever a Python is. The same tree and the same time give
the same bytes: entries are sorted, belong to nobody and have one time.

    pack.py tar STAGE NAME OUT SECONDS          a tarball whose entries lie below NAME/
    pack.py wheel STAGE VERSION TAG OUT SECONDS a wheel: programs as scripts, share as data
    pack.py sums FOLDER FILE...                 FOLDER/SHA256SUMS
"""

import base64
import gzip
import hashlib
import os
import sys
import tarfile
import time
import zipfile

SUMMARY = "Federated instruction tuning in which every client update carries proof of how it was made"


def files(stage):
    """Paths below a folder, with slashes, sorted."""
    found = []
    for folder, _, names in os.walk(stage):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), stage)
            found.append(path.replace(os.sep, "/"))
    return sorted(found)


def read(stage, path):
    with open(os.path.join(stage, path), "rb") as file:
        return file.read()


def mode(path):
    return 0o755 if path.startswith("bin/") else 0o644


def tar(stage, name, out, seconds):
    def entry(path, kind, mode, size=0):
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.size, info.mtime = kind, mode, size, int(seconds)
        return info

    paths = files(stage)
    folders = set()
    for path in paths:
        parts = path.split("/")[:-1]
        folders.update("/".join(parts[: n + 1]) for n in range(len(parts)))
    with open(out, "wb") as raw:
        # No name and no time in the header of gzip.
        with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                archive.addfile(entry(name, tarfile.DIRTYPE, 0o755))
                for path in sorted(folders | set(paths)):
                    whole = f"{name}/{path}"
                    if path in folders:
                        archive.addfile(entry(whole, tarfile.DIRTYPE, 0o755))
                        continue
                    size = os.path.getsize(os.path.join(stage, path))
                    with open(os.path.join(stage, path), "rb") as file:
                        archive.addfile(entry(whole, tarfile.REGTYPE, mode(path), size), file)


def wheel(stage, version, tag, out, seconds):
    # PyPA, "Binary distribution format": what lies in NAME.data is spread by its scheme.
    own, data = f"fedseal-{version}.dist-info", f"fedseal-{version}.data"
    entries = {}
    for path in files(stage):
        scheme = "scripts/" + path[len("bin/") :] if path.startswith("bin/") else "data/" + path
        entries[f"{data}/{scheme}"] = (read(stage, path), mode(path))
    licence = read(stage, "share/doc/fedseal/LICENSE")
    entries[f"{own}/LICENSE"] = (licence, 0o644)
    texts = {
        "METADATA": f"Metadata-Version: 2.1\nName: fedseal\nVersion: {version}\nSummary: {SUMMARY}\n"
        "License: MIT\nLicense-File: LICENSE\n",
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: fedseal-xtask\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    for name, text in texts.items():
        entries[f"{own}/{name}"] = (text.encode(), 0o644)
    record = ""
    for path, (content, _) in sorted(entries.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(content)}\n"
    record += f"{own}/RECORD,,\n"
    # What describes a wheel stands at its end.
    order = sorted(entries, key=lambda path: (path.startswith(own), path))
    entries[f"{own}/RECORD"] = (record.encode(), 0o644)
    # The first time that a zip can say is 1980.
    when = time.gmtime(max(int(seconds), 315_532_800))[:6]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in order + [f"{own}/RECORD"]:
            content, bits = entries[path]
            info = zipfile.ZipInfo(path, when)
            info.external_attr = (0o100000 | bits) << 16
            info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
            archive.writestr(info, content, compresslevel=6)


def sums(folder, *names):
    lines = ""
    for name in sorted(names):
        lines += f"{hashlib.sha256(read(folder, name)).hexdigest()}  {name}\n"
    with open(os.path.join(folder, "SHA256SUMS"), "w", newline="\n") as file:
        file.write(lines)


if __name__ == "__main__":
    {"tar": tar, "wheel": wheel, "sums": sums}[sys.argv[1]](*sys.argv[2:])
