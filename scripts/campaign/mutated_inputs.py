"""Every command that reads, on thousands of damaged and hostile files.

Each input is a small data set, run, plan, configuration or model of which one to three files were
damaged (bits, blocks, numbers, lengths, syntax, kinds of file), drawn by a seed. A command reads it
in a process forked for it, and must end with a message and an exit code: without a traceback,
within 20 seconds of processor time (60 on the clock, more on a busy machine), within 2 GiB of
memory, without starting a program and without writing outside the folder that it was given.

    python scripts/campaign/mutated_inputs.py --inputs 10000        # in full, by hand
    python scripts/campaign/mutated_inputs.py --seconds 60          # in CI
    python scripts/campaign/mutated_inputs.py --only 1234 --show    # one input again
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

sys.path.insert(0, str(Path(__file__).parent))
import bases
import foreign
import mutations

FINE = ("read", "message")
HANG_S, CLOCK_S = 20, 60  # of processor time, and on the clock, of a machine that is not busy
MEMORY_KIB = 2 * 2**20
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile")
CHANGES = {"os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.link": 2,
           "os.symlink": 2, "os.truncate": 1, "os.chmod": 1, "shutil.rmtree": 1}  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A command, or a function, with the material that it reads.

    Args:
        name: For the table.
        base: Folder of `bases` that is copied and damaged.
        arguments: Of the command; "IN" and "OUT" stand for the folders.
        weight: How often it is drawn.
        heavy: Whether it needs TensorFlow or napari.
        call: A function of the input folder in place of a command.
    """

    name: str
    base: str
    arguments: tuple[str, ...] = ()
    weight: int = 1
    heavy: bool = False
    call: Callable[[Path], object] | None = None


def _command(text: str, base: str, weight: int = 1, heavy: bool = False) -> Reader:
    arguments = tuple(text.split())
    return Reader(f"{arguments[0]} ({base})", base, arguments, weight, heavy)


READERS = (
    _command("verify IN", "pictures", 8),
    _command("verify IN", "volumes", 8),
    _command("verify IN", "nnunet", 6),
    _command("simulate IN --alpha 1 --beta 0.5 --annotator anna --output OUT", "pictures", 3),
    _command("simulate IN --alpha 1 --beta 0.5 --annotator anna --output OUT", "volumes", 2),
    _command("mix IN --annotator anna --annotator ben --output OUT", "pictures", 2),
    _command("agree IN --consensus majority --output OUT", "pictures", 2),
    _command("agree IN --consensus soft --output OUT", "pictures", 2),
    _command("agree IN --output OUT", "pictures"),
    _command("report IN --output OUT", "runs"),
    *(
        _command("import IN OUT/data", f"from-{name}", 2)
        for name in (*foreign.PICTURES, *foreign.VOLUMES, "dicom_seg", "rtstruct")
    ),
    Reader("configuration of train", "configurations", weight=3, call=bases.read_train_config),
    Reader("configuration of benchmark", "configurations", weight=3, call=bases.read_study),
    Reader("configuration of tune", "configurations", weight=3, call=bases.read_space),
    Reader("log of noise", "runs", weight=2, call=bases.read_noise),
    Reader("audit of the review", "audit", weight=3, call=bases.read_audit),
    _command("evaluate IN/data IN/predictions --annotator anna --split= ", "predicted", 3, True),
    _command(
        "audit IN/data --predictions IN/predictions --annotator anna --output OUT",
        "predicted", 2, True,
    ),
    _command("plan IN --annotator anna --output OUT", "pictures", 2, True),
    _command("plan IN --annotator anna --output OUT", "volumes", 2, True),
    Reader("model of predict", "model", weight=2, heavy=True, call=bases.load_model),
    Reader("pictures in napari", "pictures", weight=2, heavy=True, call=bases.open_pictures),
    Reader("volumes in napari", "volumes", weight=2, heavy=True, call=bases.open_volumes),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How one input ended: "message" (a refusal), "read", or the name of a fault."""

    ending: str
    detail: str = ""
    seconds: float = 0.0
    kib: int = 0


def run(
    reader: Reader,
    material: Path,
    number: int,
    seed: int,
    show: bool = False,
    damaged: bool = True,
) -> Outcome:
    """One input: copied, damaged, read in a process of its own, looked at afterwards."""
    chance = random.Random(f"{seed}:{number}")
    place = Path(tempfile.mkdtemp(prefix="campaign-"))
    try:
        given, out = place / "in", place / "out"
        shutil.copytree(material / reader.base, given, symlinks=True)
        (place / "outside").mkdir()
        (place / "outside/secret.txt").write_text("secret")
        (place / "tmp").mkdir()
        said = "undamaged"
        if damaged:
            said = mutations.damage(given, chance, place / "outside/secret.txt")
        if show:
            print(f"{number}: {reader.name}: {said}")
        begin = time.monotonic()
        child = os.fork()
        if child == 0:
            _in_child(reader, given, out, place)
        seconds, kib, ended = _wait(child, begin)
        if show:
            print((place / "said").read_text(errors="replace")[-4000:])
        if not ended:
            return Outcome("hang", said, seconds, kib)
        if kib > MEMORY_KIB:
            return Outcome("memory", f"{said}; {kib // 1024} MiB", seconds, kib)
        if (place / "outside/secret.txt").read_text() != "secret":
            return Outcome("wrote outside", said, seconds, kib)
        try:
            ending, detail = json.loads((place / "result").read_text())
        except (OSError, ValueError):
            ending, detail = "died", (place / "said").read_text(errors="replace")[-300:]
        return Outcome(ending, f"{said}; {detail}" if detail else said, seconds, kib)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _wait(child: int, begin: float) -> tuple[float, int, bool]:
    """Seconds of processor time, KiB of memory, and whether it came to an end."""
    ended = True
    busy = max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)
    done, status, usage = os.wait4(child, os.WNOHANG)
    while not done:
        if time.monotonic() - begin > CLOCK_S * busy and ended:
            os.kill(child, signal.SIGKILL)
            ended = False
        time.sleep(0.003)
        done, status, usage = os.wait4(child, os.WNOHANG)
    out_of_time = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss, ended and not out_of_time


def _in_child(reader: Reader, given: Path, out: Path, place: Path) -> None:
    ending, detail = "died", ""
    try:
        said = os.open(place / "said", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1)
        os.dup2(said, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (HANG_S, HANG_S + 5))
        # Without the program that filters what TensorFlow says of itself: here none may be started.
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
        os.environ["TMPDIR"] = tempfile.tempdir = str(place / "tmp")
        violations = _guarded([out, place / "tmp"])
        ending, detail = _read(reader, given, out)
        if violations:
            ending, detail = violations[0]
    except BaseException as error:
        ending, detail = "traceback", "".join(traceback.format_exception(error))[-800:]
    finally:
        descriptor = os.open(place / "result", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, json.dumps([ending, detail]).encode())
        os._exit(0)


def _read(reader: Reader, given: Path, out: Path) -> tuple[str, str]:
    try:
        if reader.call is not None:
            reader.call(given)
            return "read", ""
        from keras_robust.cli import app

        names = {"IN": str(given), "OUT": str(out)}
        words = [
            "/".join(names.get(part, part) for part in word.split("/")) for word in reader.arguments
        ]
        app(words)
        return "read", ""
    except SystemExit as end:
        return ("read" if not end.code else "message"), ""
    except (ValueError, OSError) as error:
        if reader.call is None:
            return "traceback", "".join(traceback.format_exception(error))[-800:]
        return "message", str(error)[:200]  # which the caller of the function shows
    except BaseException as error:
        return "traceback", "".join(traceback.format_exception(error))[-800:]


def _placed(path: object, folder: object) -> object:
    """A path, from the open folder on that a call names by its descriptor."""
    if isinstance(path, str) and isinstance(folder, int) and folder > 0:
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    return path


def _guarded(allowed: list[Path]) -> list[tuple[str, str]]:
    """From now on note what starts a program, or writes elsewhere than into `allowed`."""
    found: list[tuple[str, str]] = []
    roots = tuple(os.path.realpath(path) for path in allowed)

    def fine(path: object) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return True  # a descriptor that was opened before
        real = os.path.realpath(os.fsdecode(path))
        return real.startswith(roots) or real in ("/dev/null",) or "__pycache__" in real

    def look(event: str, arguments: tuple) -> None:
        if event.startswith(STARTS):
            found.append(("started a program", f"{event} {arguments[:2]!r}"[:300]))
        elif event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            if writes and not fine(path):
                found.append(("wrote outside", f"open {path!r}"))
        elif event in CHANGES:
            folder = None if event == "os.truncate" else arguments[-1]
            for path in (_placed(path, folder) for path in arguments[: CHANGES[event]]):
                if not fine(path) and not (
                    event in ("os.link", "os.symlink") and path == arguments[0]
                ):
                    found.append(("wrote outside", f"{event} {path!r}"))

    sys.addaudithook(look)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one input")
    parser.add_argument("--light", action="store_true", help="without TensorFlow and napari")
    parser.add_argument("--show", action="store_true", help="show what the command says")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    begin = time.monotonic()
    material = Path(tempfile.mkdtemp(prefix="campaign-material-"))
    try:
        outcomes = _all(options, material, begin)
    finally:
        shutil.rmtree(material, ignore_errors=True)
    return _report(outcomes, options, time.monotonic() - begin)


def _settle() -> None:
    """Let libraries write and ask, once, what they keep: matplotlib's caches, the processor."""
    import platform

    import matplotlib

    platform.processor()  # starts a program, and is remembered

    matplotlib.get_configdir()
    matplotlib.get_cachedir()


def _all(
    options: argparse.Namespace, material: Path, begin: float
) -> list[tuple[str, int, Outcome]]:
    numbers = range(options.inputs) if options.only is None else [options.only]
    bases.make(material, heavy=not options.light)
    foreign.make(material)
    if not options.light:
        bases.make_model(material)
    readers = [reader for reader in READERS if not (options.light and reader.heavy)]
    _settle()
    chosen = {
        number: random.Random(f"reader:{options.seed}:{number}").choices(
            READERS, [reader.weight for reader in READERS]
        )[0]
        for number in numbers
    }
    outcomes = []
    # What needs TensorFlow comes last, and gets the last third of the time.
    for heavy in (False, True):
        if heavy and any(reader.heavy for reader in readers):
            bases.import_heavy()
        if not options.only:
            _warm([reader for reader in readers if reader.heavy is heavy], material)
            _check([reader for reader in readers if reader.heavy is heavy], material, options)
        share = 1.0 if heavy or options.light else 2 / 3
        for number, reader in chosen.items():
            if time.monotonic() - begin > share * options.seconds:
                break
            if reader.heavy is heavy and reader in readers:
                outcome = run(reader, material, number, options.seed, options.show)
                outcomes.append((reader.name, number, outcome))
                if outcome.ending not in ("read", "message"):
                    print(
                        f"FAULT {outcome.ending}: input {number}, {reader.name}: {outcome.detail}"
                    )
    return outcomes


def _check(readers: list[Reader], material: Path, options: argparse.Namespace) -> None:
    """A refusal of damage says something only of what is read otherwise."""
    for reader in readers:
        outcome = run(reader, material, -1, options.seed, options.show, damaged=False)
        if outcome.ending != "read":
            raise SystemExit(f"{reader.name} does not read what is whole: {outcome}")


def _warm(readers: list[Reader], material: Path) -> None:
    """Read each whole input once here, so that the processes forked later import nothing."""
    for reader in readers:
        if reader.base == "model":
            continue  # the threads of TensorFlow do not survive a fork
        with tempfile.TemporaryDirectory(prefix="campaign-") as place:
            given, out = Path(place) / "in", Path(place) / "out"
            shutil.copytree(material / reader.base, given)
            with (
                open(os.devnull, "w") as nowhere,
                redirect_stdout(nowhere),
                redirect_stderr(nowhere),
            ):
                ending, detail = _read(reader, given, out)
            if ending != "read":
                print(f"The whole input of {reader.name} is refused: {ending} {detail}")


def _report(
    outcomes: list[tuple[str, int, Outcome]], options: argparse.Namespace, seconds: float
) -> int:
    endings = Counter(outcome.ending for _, _, outcome in outcomes)
    by_reader: dict[str, Counter[str]] = {}
    for name, _, outcome in outcomes:
        by_reader.setdefault(name, Counter())[outcome.ending] += 1
    for name, counts in sorted(by_reader.items()):
        print(
            f"{name}: " + ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items()))
        )
    slowest = max((outcome.seconds for _, _, outcome in outcomes), default=0.0)
    largest = max((outcome.kib for _, _, outcome in outcomes), default=0)
    faults = sum(count for ending, count in endings.items() if ending not in FINE)
    print(
        f"{len(outcomes)} inputs in {seconds:.0f} s: {endings['message']} refused with a message, "
        f"{endings['read']} read, {faults} faults; slowest {slowest:.1f} s, most memory "
        f"{largest / 1024:.0f} MiB"
    )
    if options.output is not None:
        figures = {
            "inputs": len(outcomes), "seed": options.seed, "seconds": round(seconds),
            "endings": dict(sorted(endings.items())),
            "by_reader": {name: dict(sorted(c.items())) for name, c in sorted(by_reader.items())},
            "slowest_s": round(slowest, 1), "most_memory_mib": round(largest / 1024),
        }  # fmt: skip
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if faults or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
