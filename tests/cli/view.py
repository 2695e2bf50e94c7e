# SPDX-License-Identifier: Apache-2.0
"""What tests in Python share: vmsnap, and mounted views."""
import os
import subprocess
import time

VMSNAP = os.environ["VMSNAP"]
SANITIZED = bool(os.environ.get("SNAP_SANITIZE"))
PAGE = 4096
PATIENCE = 60.0  # seconds, for what takes a part of one on an idle machine


def run(*words):
    return subprocess.run([VMSNAP, *words], capture_output=True, text=True, timeout=PATIENCE)


def vmsnap(*words):
    done = run(*words)
    assert done.returncode == 0, (words, done.returncode, done.stderr)
    return done.stdout


def refused(status, why, *words):
    done = run(*words)
    assert done.returncode == status and why in done.stderr, (words, done.returncode, done.stderr)


def wait_until(what, true, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not in time: " + what
        time.sleep(0.02)


def is_mounted(at):
    with open("/proc/self/mountinfo", "rb") as table:
        return os.fsencode(os.path.abspath(at)) in [line.split()[4] for line in table]


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def refuses(numbers, call, *arguments):
    """The call fails with one of these errnos."""
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno in numbers, (call, arguments, error)
        return
    raise AssertionError(f"{call.__name__}{arguments} is let through")


class View:
    """A mount, served by a process that has to end well and to have said nothing but `says` (a piece of its only message)."""

    def __init__(self, source, at="view", *options, says=None, status=0, environment=None):
        os.makedirs(at, exist_ok=True)
        self.at, self.says, self.status, self.errors = at, says, status, at + ".err"
        words = [VMSNAP, "mount", "--foreground", *options, source, at]
        self.process = subprocess.Popen(words, stderr=open(self.errors, "wb"), env={**os.environ, **(environment or {})})
        wait_until("the mount", lambda: self.process.poll() is not None or is_mounted(at))
        self.since = time.monotonic()
        assert self.process.poll() is None, self.said()

    def path(self, name):
        return os.path.join(self.at, name)

    def said(self):
        with open(self.errors, encoding="utf-8", errors="replace") as file:
            return file.read()

    def peak(self):
        """The most MiB that were resident."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

    def abandon(self):
        """Whatever holds it up."""
        subprocess.run(["umount", "-f", "-l", self.at], capture_output=True)
        self.process.kill()
        self.process.wait()

    def ended(self):
        assert self.process.wait(PATIENCE) == self.status, (self.process.returncode, self.said())
        said = self.said()
        messages = sum(line.startswith("vmsnap: ") for line in said.splitlines())
        assert (messages == 1 and self.says in said) if self.says else not said, said

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                # In its first moments its server itself looks at it, which makes it "in use".
                while is_mounted(self.at) and (done := run("umount", self.at)).returncode:
                    assert "is in use" in done.stderr and time.monotonic() < self.since + 2, done
                self.ended()
        finally:
            self.abandon()


def places(rng, size, most=1 << 20):
    """Offset and length of a read, without end: small and large, across pages, at the end."""
    while True:
        length = rng.choice([1, 100, PAGE, PAGE + 1, 65536, rng.randrange(1, most + 1)])
        offset = rng.choice([rng.randrange(size), rng.randrange(size) // PAGE * PAGE, max(0, size - rng.randrange(1, 2 * length + 1))])
        yield offset, min(length, size - offset)
