"""A command's process ends as Python's own would: with its exit code, its output, and what was registered to be done."""

from __future__ import annotations

import subprocess
import sys

from comp.process import IMPORTING

ENTER = "from comp.cli import enter; import atexit, gc, sys, threading, time; sys.argv[1:] = {args!r}\n"


def run(code: str, *args: str, **streams) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", ENTER.format(args=list(args)) + code], text=True, timeout=60, **streams)


def test_output_exit_code_and_what_was_registered() -> None:
    done = run("atexit.register(print, 'registered')\nenter()", "--version", capture_output=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "registered" and "comp" in done.stdout
    done = run("enter()", "shwo", capture_output=True)
    assert done.returncode == 2 and "shwo" in done.stderr


def test_a_thread_that_works_is_waited_for() -> None:
    code = "threading.Thread(target=lambda: (time.sleep(0.5), print('worked'))).start()\nenter()"
    assert run(code, "--version", capture_output=True).stdout.splitlines()[-1] == "worked"


def test_python_s_teardown_is_left_out() -> None:
    code = "class Last:\n    def __del__(self): print('torn down')\nlast = Last()\n"
    assert "torn down" in run(code, capture_output=True).stdout
    assert "torn down" not in run(code + "enter()", "--version", capture_output=True).stdout


def test_garbage_is_looked_for_as_usual_once_a_device_is_open() -> None:
    code = (
        "from comp.process import begin_imports; usual = gc.get_threshold(); begin_imports(); print(gc.get_threshold()[0])\n"
        "from comp.engine.device import open_device\n"
        "open_device({'threads': 'auto', 'deterministic': False, 'precision': '32'})\n"
        "print(gc.get_threshold() == usual)"
    )
    assert run(code, capture_output=True, check=True).stdout.split() == [str(IMPORTING), "True"]
