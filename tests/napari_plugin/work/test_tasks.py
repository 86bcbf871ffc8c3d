"""Threads and child processes: results, progress, pause, cancel, errors, death, no orphans."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from napari_plugin.work.child import UNFORESEEN, in_words
from napari_plugin.work.tasks import ChildProcess, run_in_background
from tests.napari_plugin import child_functions

pytestmark = pytest.mark.usefixtures("qapp")
WAIT = 60_000  # ms; importing napari's machinery in a child takes its time on a busy machine


class Heard:
    """What the signals of a child said."""

    def __init__(self, child):
        self.messages, self.results, self.errors, self.pauses = [], [], [], []
        child.message.connect(self.messages.append)
        child.done.connect(self.results.append)
        child.failed.connect(self.errors.append)
        child.paused.connect(self.pauses.append)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until_dead(pid, seconds=30):
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def test_a_thread_returns_to_the_window(qtbot):
    heard, threads = [], []

    def work(a, b, progress):
        threads.append(threading.current_thread())
        progress(1, 2)
        return a + b

    def done(result):
        threads.append(threading.current_thread())
        heard.append(result)

    steps = []
    task = run_in_background(work, 2, b=3, progress=lambda *step: steps.append(step), done=done)
    with qtbot.waitSignal(task.ended, timeout=WAIT):
        pass
    assert heard == [5] and steps == [(1, 2)] and not task.running
    assert threads[0] is not threading.main_thread() and threads[1] is threading.main_thread()


def test_a_cancelled_thread_ends_and_says_nothing(qtbot):
    heard = []
    begun = threading.Event()

    def work(progress):
        while True:
            progress(0, 1)
            begun.set()
            time.sleep(0.01)

    task = run_in_background(work, progress=True, done=heard.append, failed=heard.append)
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    with qtbot.waitSignal(task.ended, timeout=WAIT):
        task.cancel()
    assert heard == []


def test_an_error_in_a_thread_arrives(qtbot):
    errors = []

    def work():
        raise ValueError("Expected a folder.")

    task = run_in_background(work, failed=errors.append)
    with qtbot.waitSignal(task.ended, timeout=WAIT):
        pass
    assert [str(error) for error in errors] == ["Expected a folder."]


def test_a_child_sends_messages_and_a_result_and_knows_no_qt(qtbot):
    child = ChildProcess(child_functions.count, 3)
    heard = Heard(child)
    with qtbot.waitSignal(child.ended, timeout=WAIT):
        child.start()
    assert heard.messages == [(1, 3), (2, 3), (3, 3)]
    assert heard.results == [[]] and heard.errors == [] and not child.running


def test_pause_resume_and_cancel(qtbot):
    child = ChildProcess(child_functions.count_forever)
    heard = Heard(child)
    child.start()
    qtbot.waitUntil(lambda: len(heard.messages) > 3, timeout=WAIT)
    with qtbot.waitSignal(child.paused, timeout=WAIT):
        child.pause()
    count = len(heard.messages)
    qtbot.wait(200)
    assert len(heard.messages) == count  # it waits
    child.resume()
    qtbot.waitUntil(lambda: len(heard.messages) > count, timeout=WAIT)
    pid = child.pid
    with qtbot.waitSignal(child.ended, timeout=WAIT):
        child.cancel()
    assert heard.pauses == [True, False]
    assert heard.errors == heard.results == [] and wait_until_dead(pid)


def test_a_paused_child_can_be_cancelled(qtbot):
    child = ChildProcess(child_functions.count_forever)
    child.start()
    with qtbot.waitSignal(child.paused, timeout=WAIT):
        child.pause()
    with qtbot.waitSignal(child.ended, timeout=WAIT):
        child.cancel()


def test_a_child_that_does_not_listen_is_ended_by_force(qtbot):
    child = ChildProcess(child_functions.sleep_without_a_word)
    heard = Heard(child)
    child.start()
    qtbot.waitUntil(lambda: bool(heard.messages), timeout=WAIT)
    with qtbot.waitSignal(child.ended, timeout=WAIT):
        child.cancel(grace=0.1)
    assert heard.errors == [] and wait_until_dead(heard.messages[0])


@pytest.mark.parametrize(
    "told",
    [
        "operands could not be broadcast together with shapes (40,48,20) (40,48,19) ",
        "Inconsistent shape between the condition and the input (got (3, 4) and (3,))",
        "cannot convert float NaN to integer",
    ],
)
def test_what_other_libraries_say_is_no_message(told):
    assert in_words(ValueError(told)) == UNFORESEEN


@pytest.mark.parametrize(
    ("kind", "text"), [("value", "Expected a folder."), ("other", "nobody foresaw")]
)
def test_errors_arrive_in_words(qtbot, kind, text):
    child = ChildProcess(child_functions.fail, kind)
    heard = Heard(child)
    with qtbot.waitSignal(child.ended, timeout=WAIT):
        child.start()
    assert text in heard.errors[0] and "KeyError" not in heard.errors[0]
    assert "Traceback" in child.details


def test_the_death_of_a_child_is_said(qtbot):
    child = ChildProcess(child_functions.die)
    heard = Heard(child)
    with qtbot.waitSignal(child.ended, timeout=WAIT):
        child.start()
    assert heard.messages == ["begun"] and "signal 9" in heard.errors[0]


def test_a_child_that_nobody_holds_any_more_ends(qtbot):
    child = ChildProcess(child_functions.sleep_without_a_word)
    heard = Heard(child)
    child.start()
    qtbot.waitUntil(lambda: bool(heard.messages), timeout=WAIT)
    pid = heard.messages[0]
    del child
    assert wait_until_dead(pid)


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_no_orphan_outlives_the_window(end):
    program = """
import sys
from qtpy.QtCore import QCoreApplication
from napari_plugin.work.tasks import ChildProcess
from tests.napari_plugin.child_functions import sleep_without_a_word
if __name__ == "__main__":
    app = QCoreApplication([])
    child = ChildProcess(sleep_without_a_word)
    child.message.connect(lambda pid: (print(pid, flush=True), END))
    child.start()
    app.exec()
"""
    program = program.replace("END", "app.quit()" if end == "exit" else "None")
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with parent:
        pid = int(parent.stdout.readline())
        if end == "kill":
            assert alive(pid)
            parent.send_signal(signal.SIGKILL)
        parent.wait(timeout=60)
    assert wait_until_dead(pid)
