"""When a run is to end: by a signal, or because its hours are over."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from comp.stopping import Stop, catch_stop, end_after, hold_signals


@pytest.mark.parametrize(("hours", "left_s"), [(8.5, 8.5 * 3600 - 120), (0.1, 324), (1 / 3600, 0.9)])
def test_time_is_kept_for_saving(hours, left_s):
    assert end_after(hours, 1000.0) == pytest.approx(1000.0 + left_s)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_the_handlers_come_back(number):
    outside = signal.signal(number, signal.default_int_handler)  # where the tests themselves run under nohup, SIGHUP is ignored
    try:
        with catch_stop() as stop:
            assert not stop()
            os.kill(os.getpid(), number)
            assert stop() and not stop.out_of_time
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, outside)


def test_a_run_that_was_told_to_outlive_its_terminal_does():
    """As `nohup comp run exp001 &` starts it: SIGHUP is ignored, and stays so."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with catch_stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_ends_at_once():
    with pytest.raises(KeyboardInterrupt), catch_stop():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_whoever_is_asked_after_the_deadline_says_that_time_is_up():
    assert Stop(deadline=time.monotonic() - 1).out_of_time and Stop(deadline=time.monotonic() - 1)()
    assert not Stop(deadline=time.monotonic() + 60)()
    assert not Stop(asked=True, deadline=0.0).out_of_time  # somebody wants it to end: that is no success


def test_threads_have_no_signals_but_a_deadline():
    found = []

    def ask() -> None:
        with catch_stop(deadline=0.0) as stop, catch_stop(math.inf) as endless:
            found.extend([stop(), endless()])

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [True, False]


def test_a_child_hears_no_signal_and_its_parent_loses_none():
    deaf = "import os, signal; os.kill(os.getpid(), signal.SIGTERM); print('alive')"
    with catch_stop() as stop:
        with hold_signals():
            os.kill(os.getpid(), signal.SIGINT)
            done = subprocess.run([sys.executable, "-c", deaf], capture_output=True, text=True)
            assert (done.stdout, done.returncode) == ("alive\n", 0)
        assert stop()


def test_a_child_goes_on_not_to_hear_them():
    code = "import os, signal; from comp.stopping import hold_signals, ignore_signals\nwith hold_signals(): ignore_signals()\n"
    code += "os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGINT); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("alive\n", "", 0)
