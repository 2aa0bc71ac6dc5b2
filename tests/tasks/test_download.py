from __future__ import annotations

import hashlib
import os
import pty
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from qt_hw.errors import DataError, StorageError
from qt_hw.tasks.download import RemoteFile, fetch

BODY = np.random.default_rng(1).bytes(1_000_000)
SHA = hashlib.sha256(BODY).hexdigest()
ADVICE = "put a.bin into FOLDER"


@pytest.fixture
def remote(site):
    site.files["/a.bin"] = BODY
    return RemoteFile(name="a.bin", sha256=SHA, urls=(f"{site.url}/a.bin",))


def get(remote, folder, **options):
    return fetch(remote, folder, **{"advice": ADVICE, "pause": 0.001, "timeout": 5.0, **options})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once_and_leaves_nothing_else(site, remote, tmp_path):
    folder = tmp_path / "new" / "folder"
    path = get(remote, folder)
    assert path.read_bytes() == BODY
    assert names(folder) == ["a.bin"]
    assert get(remote, folder) == path
    assert site.ranges_asked == [None]


def test_a_dropped_connection_is_resumed_where_it_broke(site, remote, tmp_path):
    site.drop_after = [300_000, 200_000]
    assert get(remote, tmp_path).read_bytes() == BODY
    assert site.ranges_asked == [None, "bytes=300000-", "bytes=500000-"]


def test_a_stalled_connection_is_resumed(site, remote, tmp_path):
    site.stall_after = [400_000]
    assert get(remote, tmp_path, timeout=3.0).read_bytes() == BODY
    assert site.ranges_asked == [None, "bytes=400000-"]


def test_a_part_of_an_earlier_run_is_continued(site, remote, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY[:123_456])
    assert get(remote, tmp_path).read_bytes() == BODY
    assert site.ranges_asked == ["bytes=123456-"]


def test_a_server_without_ranges_starts_again(site, remote, tmp_path):
    site.ranges = False
    site.drop_after = [300_000]
    assert get(remote, tmp_path).read_bytes() == BODY
    assert site.ranges_asked == [None, "bytes=300000-"]


def test_a_server_that_drops_for_ever_is_given_up(site, remote, tmp_path):
    site.ranges = False
    site.drop_after = [300_000, 100_000, 300_000, 200_000, 300_000, 300_000]
    with pytest.raises(DataError, match=r"closed after 200,000 of 1,000,000 bytes.*put a\.bin"):
        get(remote, tmp_path)
    assert len(site.asked) == 4
    assert names(tmp_path) == ["a.bin.part"]


@pytest.mark.parametrize("size", [1000, 1_000_000, 1_000_001], ids=["short", "equal", "long"])
def test_a_part_of_another_file_is_thrown_away(site, remote, tmp_path, size):
    (tmp_path / "a.bin.part").write_bytes(bytes(size))
    assert get(remote, tmp_path).read_bytes() == BODY
    assert site.ranges_asked == [f"bytes={size}-", None]


def test_a_part_that_was_complete_is_not_fetched_again(site, remote, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert get(remote, tmp_path).read_bytes() == BODY
    assert site.ranges_asked == ["bytes=1000000-"]
    assert names(tmp_path) == ["a.bin"]


def test_a_range_from_another_byte_is_refused(site, remote, tmp_path):
    site.shifted = True
    (tmp_path / "a.bin.part").write_bytes(BODY[:1000])
    with pytest.raises(DataError, match=r"Content-Range 'bytes 1001-"):
        get(remote, tmp_path)
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:1000]


def test_a_wrong_checksum_leaves_nothing(site, remote, tmp_path):
    site.files["/a.bin"] = BODY[:-1] + b"x"
    got = hashlib.sha256(BODY[:-1] + b"x").hexdigest()
    with pytest.raises(DataError) as caught:
        get(remote, tmp_path)
    message = str(caught.value)
    assert "a.bin" in message and SHA in message and got in message and "\n" not in message
    assert names(tmp_path) == []


def test_a_wrong_file_already_there_is_named_and_kept(site, remote, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"mine")
    with pytest.raises(DataError, match=f"expected {SHA}: delete it"):
        get(remote, tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"mine"
    assert site.asked == []


def test_the_next_address_is_tried(site, tmp_path, closed_port):
    site.files["/b/a.bin"] = BODY
    urls = (f"http://127.0.0.1:{closed_port}/a.bin", f"{site.url}/a/a.bin", f"{site.url}/b/a.bin")
    remote = RemoteFile(name="a.bin", sha256=SHA, urls=urls)
    assert get(remote, tmp_path).read_bytes() == BODY
    assert site.asked == [("/a/a.bin", None), ("/b/a.bin", None)]


def test_not_found_says_what_to_do(site, tmp_path):
    remote = RemoteFile(name="a.bin", sha256=SHA, urls=(f"{site.url}/a.bin",))
    with pytest.raises(DataError, match=r"a\.bin \(127.*HTTP 404 Not Found\): put a\.bin into"):
        get(remote, tmp_path)
    assert len(site.asked) == 1


def test_a_busy_server_is_asked_again(site, remote, tmp_path):
    site.statuses = [503, 429, 500]
    assert get(remote, tmp_path).read_bytes() == BODY
    assert len(site.asked) == 4


def test_a_server_that_hangs_up_without_an_answer_is_asked_again(site, remote, tmp_path):
    site.hang_ups = 3
    assert get(remote, tmp_path).read_bytes() == BODY
    (tmp_path / "a.bin").unlink()
    site.hang_ups = 4
    with pytest.raises(DataError, match=r"closed connection without response\): put a\.bin"):
        get(remote, tmp_path)
    assert len(site.asked) == 8


@pytest.fixture
def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]  # nobody listens, and nobody else can


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:{}/a.bin", "refused"), ("ftp-over-nothing://x/a.bin", "unknown url type")],
)
def test_offline_says_what_to_do(site, tmp_path, closed_port, url, reason):
    remote = RemoteFile(name="a.bin", sha256=SHA, urls=(url.format(closed_port),))
    with pytest.raises(DataError, match=rf"{reason}.*put a\.bin into FOLDER"):
        get(remote, tmp_path)


def test_two_at_once_fetch_it_once(site, remote, tmp_path):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(get(remote, tmp_path).read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [BODY] * 4
    assert len(site.asked) == 1


def test_a_failure_removes_only_the_empty_folders_it_made(site, remote, tmp_path):
    site.files.clear()
    with pytest.raises(DataError, match="404"):
        get(remote, tmp_path / "old" / "new")
    assert names(tmp_path) == []
    (tmp_path / "old").mkdir()
    with pytest.raises(DataError, match="404"):
        get(remote, tmp_path / "old" / "new")
    assert names(tmp_path) == ["old"]


@pytest.mark.parametrize("failures", [1, 8])
def test_many_at_once_in_a_folder_that_the_first_remove(site, remote, tmp_path, failures):
    # Who finds nothing removes the folder, while the others wait for its lock.
    site.statuses = [404] * failures
    found, failed = [], []

    def go():
        try:
            found.append(get(remote, tmp_path / "new" / "folder").read_bytes())
        except DataError as error:
            failed.append(error)

    threads = [threading.Thread(target=go) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == failures and found == [BODY] * (10 - failures)
    assert len(site.asked) == failures + 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full")
def test_a_full_disk_is_named(remote, tmp_path):
    (tmp_path / "a.bin.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"no space for a\.bin in .*No space left.*free some"):
        get(remote, tmp_path)
    assert not (tmp_path / "a.bin").exists()


def test_a_file_larger_than_the_disk_is_not_begun(site, remote, tmp_path):
    site.announce = 10**18
    with pytest.raises(StorageError, match=r"1,000,000,000,000 MB are needed"):
        get(remote, tmp_path)
    assert names(tmp_path) == []


def test_a_folder_below_a_file_is_named(remote, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StorageError, match=r"Not a directory.*options\.root=FOLDER\) or set QT_HW_DATA"
    ):
        get(remote, tmp_path / "file" / "data")


def test_a_folder_in_the_place_of_the_file_is_named(remote, tmp_path):
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(DataError, match=r"cannot read .*a\.bin: Is a directory"):
        get(remote, tmp_path)


def run(code, remote, folder, **options):
    head = f"""
        import os, resource, sys
        from pathlib import Path
        from qt_hw.errors import QtHwError
        from qt_hw.tasks.download import RemoteFile, fetch
        file = {remote!r}
        def go():
            try:
                fetch(file, Path({str(folder)!r}), advice="-", pause=0.001)
            except QtHwError as error:
                print(type(error).__name__, error)
    """
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(head) + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        **options,
    ).stdout


def test_a_write_that_fails_midway_can_be_resumed(site, remote, tmp_path):
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000)); go()"
    said = run(limit, remote, tmp_path)
    assert said.startswith("StorageError no space for a.bin") and "File too large" in said
    assert names(tmp_path) == ["a.bin.part"]
    kept = (tmp_path / "a.bin.part").read_bytes()
    assert kept and BODY.startswith(kept)
    assert get(remote, tmp_path).read_bytes() == BODY
    assert site.ranges_asked == [None, f"bytes={len(kept)}-"]


def test_a_folder_without_write_permission_is_named(remote, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    # Root may write anywhere, so it becomes an ordinary user first.
    said = run("os.geteuid() or os.setuid(65534); go()", remote, folder)
    assert said.startswith("StorageError cannot write a.bin") and "Permission denied" in said
    assert names(folder) == []


def test_a_terminal_shows_progress(remote, tmp_path):
    master, slave = pty.openpty()
    try:
        run("go()", remote, tmp_path, stderr=slave)
        os.close(slave)
        assert b"a.bin" in os.read(master, 65536)
    finally:
        os.close(master)
    assert (tmp_path / "a.bin").read_bytes() == BODY
