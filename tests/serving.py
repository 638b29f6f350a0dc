"""The dashboard as a process of its own, for the tests that need one."""
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

COMMAND = [str(Path(sys.executable).with_name("studperf")), "dashboard"]
PATIENCE = 120  # seconds that a slow machine may take for anything


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Served:
    """The dashboard on a port that nobody uses, and what it prints."""

    def __init__(self, *options, descriptors=None, **environment):
        """`descriptors`: how many the system allows."""
        self.port = free_port()
        self.address, self.lines, self.ready = f"http://localhost:{self.port}", [], threading.Event()
        self.process = subprocess.Popen([*COMMAND, "--port", str(self.port), *map(str, options)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=os.environ | environment,
                                        preexec_fn=descriptors and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))))
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.ready.wait(PATIENCE)
        if self.address not in self.log():
            self.stop()
            pytest.fail(f"the dashboard did not start; it said:\n{self.log()}", pytrace=False)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if self.address in line:
                self.ready.set()
        self.ready.set()  # it ended

    def log(self):
        return "".join(self.lines)

    def kernel_process(self, kernel):
        """The process of a kernel, named by its id."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        process, = (child for child in children if kernel in " ".join(child.cmdline()) or child.name() == kernel[:15])
        return process

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.reader.join()
            self.process.stdout.close()
