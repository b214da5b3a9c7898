#!/usr/bin/env python3
"""Packs a tree and some files beside it as an OCI archive of one layer, under one or more names."""

import argparse
import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--name", action="append", required=True)
    parser.add_argument("--file", action="append", default=[], metavar="INSIDE=OUTSIDE", help="an executable file")
    parser.add_argument("--suid", action="append", default=[], metavar="INSIDE=OUTSIDE", help="one that runs as root")
    parser.add_argument("--link", action="append", default=[], metavar="INSIDE=TARGET", help="a symbolic link")
    parser.add_argument("--folder", action="append", default=[])
    parser.add_argument("--passwd", action="append", default=[], metavar="LINE")
    parser.add_argument("--group", action="append", default=[], metavar="LINE")
    parser.add_argument("--entrypoint", action="append", default=[])
    parser.add_argument("--cmd", action="append", default=[])
    parser.add_argument("--user", default="")
    return parser.parse_args()


class Layer:
    """A layer as it grows; whatever comes later replaces what has its path."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.GNU_FORMAT)

    def tree(self, root, without):
        def entry(info):
            info.mtime, info.uname, info.gname = 0, "", ""
            return None if info.ischr() or info.isblk() or info.name in without else info

        for path in sorted(root.iterdir()):
            self.tar.add(path, path.name, filter=entry)

    def add(self, name, mode, content=b"", kind=tarfile.REGTYPE, target=""):
        info = tarfile.TarInfo(name)
        info.mode, info.size, info.type, info.linkname = mode, len(content), kind, target
        self.tar.addfile(info, io.BytesIO(content))

    def end(self):
        self.tar.close()
        return self.bytes.getvalue()


def layer(args):
    made = Layer()
    tables = {"etc/passwd": args.passwd, "etc/group": args.group}
    made.tree(args.root, without=tables)
    for name, lines in tables.items():
        text = (args.root / name).read_text() + "".join(line + "\n" for line in lines)
        made.add(name, 0o644, text.encode())
    for option, mode in ((args.file, 0o755), (args.suid, 0o4755)):
        for pair in option:
            inside, outside = pair.split("=", 1)
            made.add(inside, mode, Path(outside).read_bytes())
    for pair in args.link:
        inside, target = pair.split("=", 1)
        made.add(inside, 0o777, kind=tarfile.SYMTYPE, target=target)
    for name in args.folder:
        made.add(name, 0o755, kind=tarfile.DIRTYPE)
    return made.end()


def main():
    args = arguments()
    blobs = {}

    def blob(content, kind):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    arch = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    packed = blob(layer(args), "layer.v1.tar")
    settings = {
        "Entrypoint": args.entrypoint,
        "Cmd": args.cmd,
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "User": args.user,
    }
    rootfs = {"type": "layers", "diff_ids": [packed["digest"]]}
    config = blob({"architecture": arch, "os": "linux", "config": settings, "rootfs": rootfs}, "config.v1+json")
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = blob({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [packed]}, "manifest.v1+json")
    named = [manifest | {"annotations": {"io.containerd.image.name": name}} for name in args.name]
    with tarfile.open(args.archive.with_suffix(".part"), "w") as tar:
        index = json.dumps({"schemaVersion": 2, "manifests": named}).encode()
        for name, content in {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    args.archive.with_suffix(".part").rename(args.archive)


main()
