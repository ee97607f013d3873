"""Fetching what may be fetched, only when asked."""

from __future__ import annotations

import http.client
import os
import shutil
import tarfile
from pathlib import Path

from lt_core.data.catalog import DatasetInfo
from lt_core.errors import DataError

_TINY_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TINY_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def download(info: DatasetInfo, folder: Path) -> None:
    """Put the data set's published files into ``folder``, over what is damaged there.

    An archive is fetched unless it is there with the published MD5, and only
    then unpacked: a new folder appears at once or not at all, and files are
    replaced one by one in a folder that was cut or emptied. Raises DataError
    where a set has to be fetched by hand.
    """
    from torchvision.datasets import CIFAR10, CIFAR100
    from torchvision.datasets.utils import download_url

    published = {
        "cifar10": (CIFAR10.url, CIFAR10.tgz_md5),
        "cifar100": (CIFAR100.url, CIFAR100.tgz_md5),
        "tinyimagenet": (_TINY_URL, _TINY_MD5),
    }
    if info.name not in published:
        raise DataError(f"{info.name} cannot be downloaded; put {info.how_to_get} into {folder}")
    url, md5 = published[info.name]
    unpacked, archive = info.releases[0]
    partial = folder / "unpacking"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        download_url(url, str(folder), archive, md5)
        shutil.rmtree(partial, ignore_errors=True)
        _unpack(folder / archive, partial)
        if (folder / unpacked).is_dir():
            shutil.copytree(
                partial / unpacked,
                folder / unpacked,
                copy_function=os.replace,
                dirs_exist_ok=True,
            )
        else:
            (partial / unpacked).rename(folder / unpacked)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise DataError(
            f"{info.name} cannot be downloaded from {url} into {folder} ({error}); put "
            f"{info.how_to_get} there"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    """torchvision 0.26 unpacks a tar without the filter that Python 3.12 warns for want of."""
    has_filter = archive.suffix != ".zip" and hasattr(tarfile, "data_filter")
    shutil.unpack_archive(archive, folder, **({"filter": "data"} if has_filter else {}))
