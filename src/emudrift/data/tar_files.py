"""Tar files that were cut off: tarfile takes a damaged header, or the end of the file, for the end of the archive."""

import tarfile


def is_whole(tar: tarfile.TarFile) -> bool:
    """Whether the last member that was found is followed by the zero block that ends every archive.

    To be called when all members have been read.
    """
    assert tar.fileobj is not None
    members = tar.getmembers()
    if members:
        last = members[-1]
        blocks = -(-last.size // tarfile.BLOCKSIZE) if last.isreg() else 0
        tar.fileobj.seek(last.offset_data + blocks * tarfile.BLOCKSIZE)
    else:
        tar.fileobj.seek(0)
    return tar.fileobj.read(tarfile.BLOCKSIZE) == b"\0" * tarfile.BLOCKSIZE
