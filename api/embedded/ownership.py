"""Changes the owner of a store's directory to the user that the store runs as, and refuses unsafe content.

A store opens the files of its directory by name. Links there, symbolic or hard, would make it write to
files elsewhere, and a change of owner would give away those files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from api.embedded.data_directory import OPEN_FILE, REMEDY, Directory
from api.embedded.path import closing
from api.operator_error import OperatorError

TABLESPACES = "pg_tblspc"
"""Directory in which PostgreSQL itself keeps symbolic links, to the directories of tablespaces."""


def claim(data: Directory, name: str, owner: int) -> None:
    """Checks all of `data/name`, and changes its owner. Raises OperatorError.

    Only root changes owners, and only in its own data directory: another user could move a directory
    that must not change its owner into the data directory of that user.
    """
    with data.entered(name) as directory:
        if os.geteuid() == 0 and data.owner == 0:
            _check_tree(directory, new_owner=owner)
        elif directory.owner == owner:
            _check_tree(directory, new_owner=None)
        else:
            raise OperatorError(
                f"{directory.path} belongs to user {directory.owner} and the data directory to user"
                f" {data.owner}: give both to the same user."
            )


def change_owner(directory: Directory, owner: int) -> None:
    """Changes the owner of an open directory, but not of its content."""
    if directory.owner != owner:
        os.fchown(directory.descriptor, owner, -1)


def _check_tree(directory: Directory, *, new_owner: int | None) -> None:
    """Changes the owner of a directory before it is read, so that the old owner can add nothing later."""
    changes = new_owner is not None and directory.owner != new_owner
    if new_owner is not None:
        change_owner(directory, new_owner)
    if os.fstat(directory.descriptor).st_mode & stat.S_IWOTH:
        raise OperatorError(
            f"Every user may write to {directory.path}: remove that permission (chmod o-w), or"
            f" {REMEDY}."
        )
    links_allowed = directory.path.name == TABLESPACES and not changes
    with os.scandir(directory.descriptor) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                with directory.entered(entry.name) as subdirectory:
                    _check_tree(subdirectory, new_owner=new_owner)
            elif not (links_allowed and stat.S_ISLNK(status.st_mode)):
                _check_file(status, directory.path / entry.name)
                if new_owner is not None and status.st_uid != new_owner:
                    _change_owner_of_file(directory, entry.name, new_owner)


def _change_owner_of_file(directory: Directory, name: str, owner: int) -> None:
    with closing(os.open(name, os.O_RDONLY | OPEN_FILE, dir_fd=directory.descriptor)) as descriptor:
        _check_file(os.fstat(descriptor), directory.path / name)
        os.fchown(descriptor, owner, -1)


def _check_file(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OperatorError(f"{path} is neither a regular file nor a directory: {REMEDY}.")
    if status.st_nlink != 1:
        raise OperatorError(
            f"{path} has a second name (a hard link), so another file would change with it: {REMEDY}."
        )
