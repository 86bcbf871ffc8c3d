"""What was asked by a signal is not lost, whatever becomes of its exception."""

import os
import signal
import threading

import pytest

from keras_robust.common.interrupts import Interrupts, interrupts
from keras_robust.training.run import Run


def ask(number=signal.SIGINT):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_raises_and_is_remembered(number):
    before = signal.getsignal(number)
    with interrupts() as asked:
        with pytest.raises(KeyboardInterrupt):
            ask(number)
        assert asked.times == 1
        with pytest.raises(KeyboardInterrupt):
            asked.check()
    assert signal.getsignal(number) is before


def test_held_it_waits_for_a_check_and_the_second_does_not():
    with interrupts() as asked:
        with asked.held(1):
            ask()
            assert asked.times == 1
            with asked.held(0), pytest.raises(KeyboardInterrupt):
                ask()
            with pytest.raises(KeyboardInterrupt):
                ask()
        with pytest.raises(KeyboardInterrupt):
            ask()


def test_what_swallows_the_exception_does_not_swallow_the_question():
    with interrupts() as asked:
        try:
            ask()
        except BaseException:  # as C++ code that calls Python may
            pass
        with interrupts() as inner, pytest.raises(KeyboardInterrupt):
            inner.check()
        assert inner is asked


def test_waiting_ends_with_the_question():
    with interrupts() as asked, asked.held():
        threading.Timer(0.1, ask).start()
        asked.wait(60)
        assert asked.times == 1


def test_other_threads_are_never_asked():
    found = []

    def work():
        with interrupts() as asked:
            found.append(asked.times)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0]


@pytest.mark.parametrize(("times", "status"), [(0, "failed"), (1, "interrupted")])
def test_an_error_after_an_interrupt_is_that_interrupt(tmp_path, monkeypatch, times, status):
    """TensorFlow makes a ValueError of an interrupt that it meets while it compares structures."""
    from keras_robust.training import TrainConfig

    asked = Interrupts()
    asked.times = times
    expected = KeyboardInterrupt if times else ValueError
    config = TrainConfig(data={"path": "x"})
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    with pytest.raises(expected), Run(tmp_path).recording(config, asked):
        raise ValueError("The two structures don't have the same nested structure")
    assert Run(tmp_path).status == status
