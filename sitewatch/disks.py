"""Whether a folder lies on an encrypted disk, as far as Linux tells without root."""

from __future__ import annotations

import os
from pathlib import Path

# Encrypt each file, or keep nothing once the power is gone.
_SAFE_FILESYSTEMS = {"ecryptfs", "tmpfs", "ramfs", "fuse.gocryptfs", "fuse.encfs", "fuse.cryfs"}
# Could be encrypted by means of their own that are not shown here.
_OPAQUE_FILESYSTEMS = {"zfs", "nfs", "nfs4", "cifs", "9p", "virtiofs", "fuse", "overlay", "fuseblk"}


def is_encrypted(
    folder: Path, mounts: Path = Path("/proc/self/mountinfo"), sys: Path = Path("/sys")
) -> bool | None:
    """Tell whether what is kept in `folder` is encrypted on the disk; None if that is not known.

    A disk counts as encrypted where the device mapper names it so (dm-crypt, LUKS), itself or
    every disk below it.
    """
    try:
        found = _mount_of(folder.resolve(), mounts.read_text("utf-8", "replace"))
    except OSError:
        return None
    if found is None:
        return None
    device, kind, source = found
    if kind in _SAFE_FILESYSTEMS:
        return True
    if kind in _OPAQUE_FILESYSTEMS:
        return None
    block = sys / "dev" / "block" / device
    if not block.exists():  # btrfs and others show a device of no disk
        block = sys / "class" / "block" / os.path.basename(os.path.realpath(source))
    return _is_encrypted(block) if block.exists() else None


def _mount_of(folder: Path, table: str) -> tuple[str, str, str] | None:
    """Return device number, file system and source of the mount that holds `folder`.

    Of several mounts on one another the last is the visible one.
    """
    best: tuple[int, tuple[str, str, str]] | None = None
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) < 5 or len(right) < 2:
            continue
        point = Path(left[4].encode().decode("unicode_escape"))
        if point == folder or point in folder.parents:
            depth = len(point.parts)
            if best is None or depth >= best[0]:
                best = depth, (left[2], right[0], right[1])
    return best[1] if best else None


def _is_encrypted(block: Path) -> bool:
    try:
        if (block / "dm" / "uuid").read_text().startswith("CRYPT-"):
            return True
    except OSError:
        pass  # not a device of the mapper
    below = block / "slaves"
    disks = list(below.iterdir()) if below.is_dir() else []
    return bool(disks) and all(_is_encrypted(disk) for disk in disks)
