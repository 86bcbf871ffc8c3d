"""What the tests run in child processes; imported there, so without Qt."""

import os
import sys
import time


def count(channel, total):
    for done in range(1, total + 1):
        channel.send((done, total))
    return sorted({"napari", "qtpy", "PyQt6"} & set(sys.modules))


def count_forever(channel):
    done = 0
    while True:
        done += 1
        channel.send(done)
        time.sleep(0.01)


def sleep_without_a_word(channel):
    channel.send(os.getpid())
    time.sleep(600)


def fail(channel, kind):
    raise {"value": ValueError("Expected a folder."), "other": KeyError("a")}[kind]


def die(channel):
    channel.send("begun")
    os.kill(os.getpid(), 9)
