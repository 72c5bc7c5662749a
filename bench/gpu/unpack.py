"""Unpacks an archive where tar cannot, for want of xz or zstd: python3 unpack.py ARCHIVE FOLDER"""
import sys
import tarfile


def main(archive, folder):
    # Safe ways to unpack are the default only of later versions.
    safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    if archive.endswith(".zst") and sys.version_info < (3, 14):
        try:
            import zstandard
        except ImportError:
            sys.exit(f"unpack.py: error: {archive}: neither zstd nor a Python that reads it is here; pack it as .tar.xz or .tar.gz")
        with open(archive, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as text, tarfile.open(fileobj=text, mode="r|") as tar:
            tar.extractall(folder, **safe)
        return
    with tarfile.open(archive) as tar:
        tar.extractall(folder, **safe)


if __name__ == "__main__":
    main(*sys.argv[1:])
