"""Makes the directory of a store belong to the user that the store runs as, and refuses what is unsafe.

A store opens the files of its directory by their names. Links in there, symbolic or hard, would make
it write to files elsewhere, and a change of owner would hand those files over.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from api.embedded.data_directory import OPEN_FILE, REMEDY, Directory
from api.embedded.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

LINKS_OF_POSTGRES = "pg_tblspc"
"""Where PostgreSQL itself keeps symbolic links, to the directories of tablespaces."""


def claim(data: Directory, name: str, owner: int) -> None:
    """Checks all of `data/name`, and makes it the owner's. Raises EmbeddedError.

    Only root changes owners, and only in a data directory of its own: into that of another user
    that user may have moved a directory which is not meant to be given away.
    """
    with data.entered(name) as directory:
        if os.geteuid() == 0 and data.owner == 0:
            _check_tree(directory, new_owner=owner)
        elif directory.owner == owner:
            _check_tree(directory, new_owner=None)
        else:
            raise EmbeddedError(
                f"{directory.path} belongs to user {directory.owner} and the data directory to user"
                f" {data.owner}: give both to the same user."
            )


def give(directory: Directory, owner: int) -> None:
    """Makes an open directory the owner's, without what is in it."""
    if directory.owner != owner:
        os.fchown(directory.descriptor, owner, -1)


def _check_tree(directory: Directory, *, new_owner: int | None) -> None:
    """A directory gets its owner before it is read, so that the old one can add nothing after that."""
    changes = new_owner is not None and directory.owner != new_owner
    if new_owner is not None:
        give(directory, new_owner)
    if os.fstat(directory.descriptor).st_mode & stat.S_IWOTH:
        raise EmbeddedError(
            f"Every user may write to {directory.path}: remove that permission (chmod o-w), or"
            f" {REMEDY}."
        )
    links_allowed = directory.path.name == LINKS_OF_POSTGRES and not changes
    with os.scandir(directory.descriptor) as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                with directory.entered(entry.name) as below:
                    _check_tree(below, new_owner=new_owner)
            elif not (links_allowed and stat.S_ISLNK(found.st_mode)):
                _check_file(found, directory.path / entry.name)
                if new_owner is not None and found.st_uid != new_owner:
                    _give_file(directory, entry.name, new_owner)


def _give_file(directory: Directory, name: str, owner: int) -> None:
    descriptor = os.open(name, os.O_RDONLY | OPEN_FILE, dir_fd=directory.descriptor)
    try:
        _check_file(os.fstat(descriptor), directory.path / name)
        os.fchown(descriptor, owner, -1)
    finally:
        os.close(descriptor)


def _check_file(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise EmbeddedError(f"{path} is neither a regular file nor a directory: {REMEDY}.")
    if found.st_nlink != 1:
        raise EmbeddedError(
            f"{path} has a second name (a hard link), so another file would change with it: {REMEDY}."
        )
