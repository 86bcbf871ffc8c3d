"""Standard error without what TensorFlow says of itself."""

import subprocess
import sys

CHATTER = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1796041481.464223   22896 port.cc:153] oneDNN custom operations are on.",
    "2026-11-30 12:00:00.5: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow",
    "E0000 00:00:1796097297.174058   21779 cuda_platform.cc:52] failed call to cuInit: INTERNAL",
    "2026-11-30 12:00:00.5: E xla/cuda_dnn.cc:9261] Unable to register cuDNN factory: Attempting",
    "W0000 00:00:1796041481.4   2 placer.cc:177] computation placer already registered",
)
KEPT = (
    "E0000 00:00:1796041481.464223   22896 bfc_allocator.cc:501] Allocator ran out of memory",
    "Illustrations are no chatter.",
    "RuntimeError: failed call to cuInit",
)


def told(body, **environment):
    program = f"""
import os, sys
from keras_robust.cli.chatter import without_chatter
def low(*lines):
    os.write(2, "".join(line + "\\n" for line in lines).encode())
with without_chatter():
    {body}
print("after", file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment or None
    )
    return sorted(done.stderr.splitlines())


def test_only_what_is_said_at_the_start_is_left_out():
    body = f"low(*{CHATTER + KEPT!r}); print('bar', file=sys.stderr)"
    assert told(body) == sorted((*KEPT, "bar", "after"))
    assert len(told(body, TF_CPP_MIN_LOG_LEVEL="0")) == len(CHATTER + KEPT) + 2


def test_the_last_words_before_a_crash_are_told():
    assert told(f"low({KEPT[0]!r}); os.abort()") == [KEPT[0]]


def test_an_error_passes_through():
    assert told("raise OSError('disk')")[-1].startswith("Traceback")
