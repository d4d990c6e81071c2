"""Downloads: resumable, and verified by checksum."""

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

from emudrift.data.pipeline_files import wanted_files
from emudrift.errors import InputError
from emudrift.runtime.atomic_files import write_bytes_atomically
from emudrift.runtime.progress import Progress

CHUNK = 1 << 20


def download(url: str, checksum: str, path: str | Path) -> None:
    """Downloads `url` to `path`. An interrupted download is kept in `<path>.part` and resumed.

    Args:
        checksum: algorithm and hexadecimal digest, such as `sha256:6726825d...`.

    Raises:
        InputError: not an address, no network, a server error, or a wrong checksum (the file is then removed).
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    algorithm, _, expected = checksum.partition(":")
    if algorithm not in ("sha256", "sha1") or not expected:
        raise InputError(f"{checksum!r} is not a checksum such as sha256:6726825d...")
    address = urllib.parse.urlsplit(url)
    if address.scheme not in ("http", "https") or not address.netloc or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise InputError(f"{url!r} is not an address; expected one such as https://example.org/file.zip")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the file is already complete.
            raise InputError(f"{url}: the server responds with {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise InputError(
            f"{url}: cannot be downloaded ({error}); downloads need a machine with internet, such as the login node. "
            f"Partial downloads are kept; or put the file at {path} yourself"
        ) from error
    except OSError as error:
        raise InputError(
            f"{url}: the download stopped: {(error.strerror or str(error)).lower()} ({part}); partial downloads are kept, so fix "
            "this and run again"
        ) from error
    with part.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        part.unlink()
        raise InputError(f"{url}: {algorithm} is {found}, expected {expected}; the download was removed, run again")
    os.replace(part, path)


def _fetch(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=60) as response:
        resumed = response.status == 206
        length = response.headers.get("Content-Length", "0").strip()
        if not (length.isascii() and length.isdigit()):
            raise InputError(
                f"{url}: the server states the length {length!r}, not a number of bytes; use another server"
            )
        total = int(length) + (have if resumed else 0)
        with part.open("ab" if resumed else "wb") as file, Progress(part.stem, total, "B") as progress:
            progress.skip(have if resumed else 0)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
        if total and part.stat().st_size < total:
            raise ConnectionError(f"the connection ended after {part.stat().st_size:,} of {total:,} bytes")


def extract_member(archive: str | Path, member: str, path: str | Path) -> None:
    """Extracts one file of a zip to `path`. Raises InputError if the zip is damaged or has no such file."""
    try:
        with zipfile.ZipFile(archive) as file:
            write_bytes_atomically(path, file.read(member))
    except (KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InputError(f"{archive}: cannot extract {member}: {error}") from error


def download_model(
    hub: str,
    revision: str,
    folder: str | Path,
    variants: Collection[str | None] = (None,),
    code: bool = False,
    file: str | None = None,
) -> str:
    """Downloads the model files of a Hugging Face repository; huggingface_hub resumes and verifies them.

    Args:
        variants: weight variants of a pipeline (a repository with model_index.json), such as fp16; None: no variant.
        code: whether to include Python files.
        file: the only one that is wanted; None: all that belong to a model.

    Returns:
        The commit that the revision resolved to, 40 hex digits.

    Raises:
        InputError: no network, no such repository, revision or file, or no permission.
    """
    import httpx2  # the HTTP client of huggingface_hub, which does not wrap its connection errors
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        found = HfApi().model_info(hub, revision=revision)
        commit = found.sha
        if commit is None:
            raise InputError(f"{hub}: the hub has no commit for revision {revision!r}")
        names = [file.rfilename for file in found.siblings or []]
        patterns = ["*.safetensors", "*.json", "*.txt", "*.jinja", "*.model"]
        if file is not None:
            if file not in names:
                others = ", ".join(name for name in names if name.endswith(".safetensors")) or "none"
                raise InputError(f"hub: {hub}, revision {revision}: has no file {file}; its safetensors are {others}")
            patterns = [file]
        elif "model_index.json" in names:
            patterns = wanted_files(names, variants, code)
        elif not any(name.endswith(".safetensors") for name in names):
            patterns.append("pytorch_model.bin")  # such as openai's larger CLIP
        snapshot_download(hub, revision=commit, local_dir=folder, allow_patterns=patterns)
    except (httpx2.HTTPError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise InputError(
            f"hub: {hub}, revision {revision}: cannot be downloaded ({' '.join(str(error).split())[:300]}); "
            "downloads need a machine with internet, such as the login node"
        ) from error
    return commit
