"""Running a submission where it can reach nothing but its own result.

On Linux it sees a file system of its own (Python and a fresh copy of the kit, read-only, and an
empty home), no other process and no network. Where the system allows no namespaces, it has a clean
home and environment, and all that it started is ended; files of the same user it can then read.
"""

import functools
import itertools
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import ssae_kit

RESULT_MIB = 16
"""What is read of a submission's results; all that it writes is limited by the system."""
ROOT = """set -e
root=$1; shift
mount -t tmpfs -o mode=755,size=512m submission "$root"
while [ "$1" != -- ]; do
  mkdir -p "$root$(dirname "$1")"
  if [ -L "$1" ]; then cp -P "$1" "$root$1"
  elif [ -d "$1" ]; then mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; mount -o remount,bind,ro "$root$1"
  elif [ -e "$1" ]; then touch "$root$1"; mount --bind "$1" "$root$1"; fi
  shift
done; shift
mkdir -p "$root/proc" "$root/tmp" "$root/dev/shm"
chmod 1777 "$root/tmp" "$root/dev/shm"
mount -t proc proc "$root/proc"
exec chroot "$root" "$@"
"""
"""Builds the file system of a submission from the paths before ``--`` and starts the rest in it."""
SHOWN = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime"),
    *("/etc/alternatives", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
)
"""What a submission sees of the machine, read-only, besides Python."""
UNUSED = range(60600, 61100)
"""Users that systemd leaves unused."""
COUNTER = itertools.count()
KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What a submission is told of the environment."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell_seconds: int = 20
    """Wall-clock time of one answer or check."""
    seconds: int = 180
    """Time of the whole submission, by the clock and of the processor."""
    memory_gib: float = 6.0
    """Address space of each process. Enforced on Linux only."""


def kit() -> dict[str, bytes]:
    """Files of the kit as they are now, by their path from the folder that holds the package."""
    package = Path(ssae_kit.__file__).parent
    files = (p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {path.relative_to(package.parent).as_posix(): path.read_bytes() for path in files}


def execute(
    job: dict[str, Any], files: dict[str, bytes], limits: Limits
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the steps of one submission.

    Args:
        job: What `ssae_kit.exercises.submission` reads.
        files: The kit, from `kit`; each submission gets a copy of its own.
        limits: Time and memory.

    Returns:
        What each step gave, and what went wrong with the whole, in words.
    """
    # One marks processes, and answers can read it; the other marks results, and they should not.
    mark, token = secrets.token_hex(16), secrets.token_hex(16)
    job = {**job, "token": token, "limits": asdict(limits), "confined": confined()}
    with tempfile.TemporaryDirectory(prefix="graded", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        unpack(files, scratch / "kit")
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told:
            given.write(json.dumps(job).encode())
            given.seek(0)
            trouble = _supervise(_command(scratch), scratch, given, told, limits.seconds, mark)
            records = _records(told, token)
        own = {name: scratch / "kit" / name for name in files}
        if any(not p.is_file() or p.read_bytes() != files[name] for name, p in own.items()):
            trouble.append("FORGED: the kit on disk was changed; no points")
    if not trouble and not any("tampered" in record for record in records):
        trouble.append("its process ended early: out of memory, or ended from within")
    return records, trouble


def unpack(files: dict[str, bytes], folder: Path) -> None:
    """Write files that everyone may read and nobody should change."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)


@functools.cache
def confined() -> bool:
    """Whether this system lets a submission have a file system and processes of its own."""
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "kit").mkdir()
        command = [*_confine(Path(name)), sys.executable, "-c", "import psutil"]
        try:
            return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False


def _libraries() -> list[str]:
    """Folders of installed packages, also those that Python finds by the user's home."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def _confine(scratch: Path) -> list[str]:
    """Start of a command that runs what follows confined, for an administrator as another user."""
    user = str(UNUSED[next(COUNTER) % len(UNUSED)])  # of its own: processes are limited by user
    nobody = ["--reuid", user, "--regid", user, "--clear-groups"]
    admin = os.geteuid() == 0
    shown: list[str] = []
    for path in [*SHOWN, sys.prefix, sys.base_prefix, *_libraries(), str(scratch / "kit")]:
        if not any(Path(path).is_relative_to(above) for above in shown):
            shown.append(path)
    (scratch / "root").mkdir()
    return [
        *("unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child"),
        *([] if admin else ["--user", "--map-root-user"]),
        *("sh", "-c", ROOT, "sh", str(scratch / "root"), *shown, "--"),
        *("setpriv", "--no-new-privs", "--inh-caps", "-all", "--bounding-set", "-all"),
        *(nobody if admin else []),
    ]


def _command(scratch: Path) -> list[str]:
    run = [sys.executable, "-m", "ssae_kit.exercises.submission"]
    if confined() or sys.platform == "win32":
        return [*_confine(scratch), *run] if confined() else run
    return ["sh", "-c", '"$@"; exit $?', "sh", *run]  # an answer may kill its parent: the shell


def _supervise(
    command: list[str],
    scratch: Path,
    given: IO[bytes],
    told: IO[bytes],
    seconds: float,
    token: str,
) -> list[str]:
    """Run a command, end all that it started, and say whether it had to be stopped."""
    home = Path("/tmp/home") if confined() else scratch / "home"
    environment = {key: os.environ[key] for key in KEPT if key in os.environ}
    environment |= {"HOME": str(home), "USERPROFILE": str(home), "USER": "student"}
    environment |= {"IPYTHONDIR": str(home / "ipython"), "JUPYTER_CONFIG_DIR": str(home)}
    environment |= {"PYTHONPATH": os.pathsep.join([str(scratch / "kit"), *_libraries()])}
    environment |= {"OMP_NUM_THREADS": "1", "SSAE_SUBMISSION": token}
    process = subprocess.Popen(
        command,
        stdin=given,
        stdout=told,
        stderr=subprocess.DEVNULL,
        cwd=scratch,
        env=environment,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
        return []
    except subprocess.TimeoutExpired:
        return [f"it ran longer than {seconds} s and was stopped"]
    finally:
        end(token)
        process.kill()
        process.wait()


def end(token: str, patience: float = 5.0) -> None:
    """End every process that a submission started: all of them have its token.

    Args:
        token: Value of ``SSAE_SUBMISSION`` in the environment of the first.
        patience: Seconds after which one that cannot be ended is left.
    """
    import psutil  # comes with ipykernel

    until = time.monotonic() + patience
    while time.monotonic() < until:
        found = [p for p in psutil.process_iter(["environ", "status"]) if _has(p, token)]
        if not found:
            return
        for process in found:
            try:
                process.kill()
            except psutil.Error:  # it ended by itself
                continue


def _has(process: Any, token: str) -> bool:
    known = process.info["environ"] or {}
    return known.get("SSAE_SUBMISSION") == token and process.info["status"] != "zombie"


def _records(told: IO[bytes], token: str) -> list[dict[str, Any]]:
    """What a submission's process said; lines without the token are none of ours."""
    told.seek(0)
    records = []
    for line in told.read(RESULT_MIB * 2**20).splitlines():
        if line.startswith(token.encode()):
            try:
                record = json.loads(line[len(token) :])
            except (ValueError, RecursionError):
                continue
            records += [record] if isinstance(record, dict) else []
    return records
