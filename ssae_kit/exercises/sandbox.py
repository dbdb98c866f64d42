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
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import ssae_kit
from ssae_kit import checks

RESULT_MIB = 4
"""What is read of a submission's results; right ones fill one. All that it writes is limited."""
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
LATE = 124
"""Exit status of the reaper where time was up."""
REAPER = f"""import contextlib, ctypes, psutil, subprocess, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1)
try:
    subprocess.run(sys.argv[2:], timeout=float(sys.argv[1]))
except subprocess.TimeoutExpired:
    sys.exit({LATE})
finally:
    for _ in range(50):
        left = psutil.Process().children(recursive=True)
        for one in left:
            with contextlib.suppress(psutil.Error):
                one.kill()
        if not psutil.wait_procs(left, 0.1)[1] and not psutil.Process().children():
            break
"""
"""Runs a command for so many seconds, then ends all that it started: on Linux processes whose parent
has ended become its own (it is their subreaper), whatever they changed of themselves."""
SHOWN = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime"),
    *("/etc/alternatives", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
)
"""What a submission sees of the machine, read-only, besides Python."""
USERS = itertools.cycle(range(60600, 61100))
"""Users that systemd leaves unused: one for each submission, as processes are limited by user."""
KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What a submission is told of the environment."""
TOKEN = "SSAE_SUBMISSION"
"""Variable of the environment by which all processes of a submission are found."""
RUNNER = "ssae_kit.exercises.submission"


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell_seconds: int = 20
    """Wall-clock time of one answer or check."""
    seconds: int = 180
    """Time of the whole submission, by the clock and of the processor."""
    memory_gib: float = 6.0
    """Address space of each process. Enforced on Linux only."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            checks.require(name, value, "above 0 and at most a million", lambda n: 0 < n <= 1e6)


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
        What each step told, and whether the whole had to be stopped, in words.
    """
    job = {**job, "limits": asdict(limits), "confined": confined()}
    with tempfile.TemporaryDirectory(prefix="graded", ignore_cleanup_errors=True) as name:
        for inside, content in files.items():
            path = Path(name) / "kit" / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for path in Path(name).rglob("*"):
            path.chmod(0o755)  # another user reads it, whatever the umask
        # Not a pipe: whoever holds one open is not waited for.
        with tempfile.TemporaryFile() as told:
            stopped = _run(Path(name), json.dumps(job).encode(), told, limits.seconds)
            told.seek(0)
            return _records(told.read(RESULT_MIB * 2**20)), stopped


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


def _confine(scratch: Path) -> list[str]:
    """Start of a command that runs what follows confined, for an administrator as another user."""
    user = str(next(USERS))
    admin = os.geteuid() == 0
    paths = {*SHOWN, sys.prefix, sys.base_prefix, *_libraries(), str(scratch / "kit")}
    shown = [path for path in paths if paths.isdisjoint(map(str, Path(path).parents))]
    (scratch / "root").mkdir()
    return [
        *("unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child"),
        *([] if admin else ["--user", "--map-root-user"]),
        *("sh", "-c", ROOT, "sh", str(scratch / "root"), *shown, "--"),
        *("setpriv", "--no-new-privs", "--inh-caps", "-all", "--bounding-set", "-all"),
        *(["--reuid", user, "--regid", user, "--clear-groups"] if admin else []),
    ]


def _libraries() -> list[str]:
    """Folders of installed packages, also those that Python finds by the user's home."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def _run(scratch: Path, job: bytes, told: IO[bytes], seconds: float) -> list[str]:
    """Run a submission, end all that it started, and say whether it had to be stopped."""
    token = secrets.token_hex(16)
    home = "/tmp/home" if confined() else str(scratch / "home")
    environment = {key: os.environ[key] for key in KEPT if key in os.environ}
    environment |= {"HOME": home, "USERPROFILE": home, "USER": "student", TOKEN: token}
    environment["PYTHONPATH"] = os.pathsep.join([str(scratch / "kit"), *_libraries()])
    environment["OMP_NUM_THREADS"] = "1"
    # Where it can see its parent it may kill it: a shell, neither the grader nor the reaper.
    apart = ["sh", "-c", '"$@"; exit $?', "sh"] if sys.platform != "win32" else []
    command = [*(_confine(scratch) if confined() else apart), sys.executable, "-m", RUNNER]
    command = [sys.executable, "-c", REAPER, str(seconds), *command]
    streams: Any = {"input": job, "stdout": told, "stderr": subprocess.DEVNULL}
    place: Any = {"cwd": scratch, "env": environment, "start_new_session": True}
    late = [f"it ran longer than {seconds} s and was stopped"]
    try:  # killed where it is confined, it takes all processes of its namespace with it
        run = subprocess.run(command, **streams, **place, timeout=seconds + 10)
        return late if run.returncode == LATE else []
    except subprocess.TimeoutExpired:  # the reaper was stopped
        return late
    finally:
        end(token)


def end(token: str) -> None:
    """End every process that a submission started: all of them have its token.

    Args:
        token: Value of ``SSAE_SUBMISSION`` in the environment of the first.
    """
    import psutil  # only grading needs it

    until = time.monotonic() + 5  # seconds: one that cannot be ended is left
    while time.monotonic() < until:
        found = [
            process
            for process in psutil.process_iter(["environ", "status"])
            if (process.info["environ"] or {}).get(TOKEN) == token
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]
        if not found:
            return
        for process in found:
            with suppress(psutil.Error):  # it ended by itself
                process.kill()


def _records(told: bytes) -> list[dict[str, Any]]:
    """What a submission's process told; lines that are none of ours are left out."""
    records = []
    for line in told.splitlines():
        with suppress(ValueError, RecursionError):
            records.append(json.loads(line))
    return [record for record in records if isinstance(record, dict)]
