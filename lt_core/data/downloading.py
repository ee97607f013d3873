"""Fetching what may be fetched, only when asked."""

from __future__ import annotations

import shutil
from pathlib import Path

from lt_core.data.catalog import DatasetInfo
from lt_core.errors import DataError

_TINY_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TINY_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def download(info: DatasetInfo, folder: Path) -> None:
    """Put the data set's published files into ``folder``, unless they are there.

    An archive is unpacked only if its MD5 is the published one, so a download
    that was cut is fetched again; the unpacked folder appears at once or not
    at all. Raises DataError where a set has to be fetched by hand.
    """
    from torchvision.datasets import CIFAR10, CIFAR100
    from torchvision.datasets.utils import download_url, extract_archive

    archives = {
        "cifar10": (CIFAR10.url, CIFAR10.tgz_md5, CIFAR10.base_folder),
        "cifar100": (CIFAR100.url, CIFAR100.tgz_md5, CIFAR100.base_folder),
        "tinyimagenet": (_TINY_URL, _TINY_MD5, "tiny-imagenet-200"),
    }
    if info.name not in archives:
        raise DataError(f"{info.name} cannot be downloaded; {info.how_to_get} ({folder})")
    url, md5, unpacked = archives[info.name]
    if (folder / unpacked).is_dir():
        return
    partial = folder / "unpacking"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / url.rsplit("/", 1)[1]
        download_url(url, str(folder), archive.name, md5)
        shutil.rmtree(partial, ignore_errors=True)
        extract_archive(str(archive), str(partial))
        (partial / unpacked).rename(folder / unpacked)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{info.name}: cannot be downloaded from {url} into {folder} ({error}); "
            f"{info.how_to_get}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
