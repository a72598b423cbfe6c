"""Ctrl-C and SIGTERM while a script starts and while it works: one line, the exit code, nothing swallowed."""

import pathlib
import shlex
import signal
import subprocess
import sys
import textwrap

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
COMMANDS = sorted(str(path) for path in SCRIPTS.glob("*.py") if path.stem != "interrupt")
COMMANDS.append(str(SCRIPTS.parent / "gluon_tricks_command.py"))


def python(code, *words):
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n{textwrap.dedent(code)}"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_during_the_imports(command, number):
    """It comes while numpy is imported, the first that takes time, and by a library that catches everything."""
    start = """
        import importlib.abc, os, runpy, time
        class Signalled(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name == "numpy":
                    try:
                        os.kill(os.getpid(), number)
                        time.sleep(0.2)
                    except BaseException:
                        pass
        sys.meta_path.insert(0, Signalled())
        number = int(sys.argv.pop())
        runpy.run_path(sys.argv.pop(), run_name="__main__")
    """
    done = python(start, command, str(int(number)))
    assert (done.returncode, done.stdout) == (128 + number, "")
    assert done.stderr == "interrupted before anything was started\n"


def test_a_rank_is_stopped_by_sigusr1_while_it_starts():
    """horovodrun leaves it to the ranks, which inherit it ignored; before the work and in it."""
    code = """
        import os, signal, types, interrupt
        def hit(words):
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.05)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        os.environ["GLUON_TRICKS_LAUNCH"] = "x"
        said = None if "none" in sys.argv else "interrupted: in the work"
        command = types.SimpleNamespace(main=hit, INTERRUPTED=said)
        sys.modules["gluon_tricks.cli.main"] = types.SimpleNamespace(find=lambda words, program: (command, words))
        interrupt.main()
    """
    for word, said in (("none", "interrupted before anything was started"), ("", "interrupted: in the work")):
        done = python(f"import time\n{textwrap.dedent(code)}", word)
        assert (done.returncode, done.stderr) == (128 + signal.SIGUSR1, f"{said}\n")


PRINTS = """
import subprocess, sys, types, interrupt
class Command:
    def main(words):
        with open("file", "w") as file:
            print("said", flush=True)
            print("wrong", file=sys.stderr, flush=True)
            subprocess.run([sys.executable, "-c", "print('by another')"], check=True)
            print(file.fileno() > 2, sys.stdin.read(), file=file)
        return 3
sys.modules["gluon_tricks.cli.main"] = types.SimpleNamespace(find=lambda words, program: (Command, words))
interrupt.main()
"""


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)], ids=str)
def test_streams_that_are_closed(closed, tmp_path):
    """As by >&- of a shell: the work is done, and no file gets what is printed, here or by another program."""
    words = shlex.join([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n{PRINTS}"])
    words = f"exec {words} </dev/null {' '.join(f'{number}>&-' for number in closed)}"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, (tmp_path / "file").read_text()) == (3, "True \n"), done.stderr
    assert done.stdout == ("" if 1 in closed else "said\nby another\n")
    assert done.stderr == ("" if 2 in closed else "wrong\n")


WORK = """
import os, pathlib, signal, time, interrupt
def hit():
    try:
        os.kill(os.getpid(), signal.SIGTERM if "term" in sys.argv else signal.SIGINT)
        time.sleep(0.05)
    except BaseException:
        print("swallowed")
class Deleted:
    def __del__(self):
        hit()
def main():
    try:
        {what}
        time.sleep(5)
    finally:
        print("cleaned up")
    return 0
interrupt.run(main, "interrupted: nothing was written")
"""


@pytest.mark.parametrize("word, code", [("int", 130), ("term", 143)])
@pytest.mark.parametrize(
    "what",
    [
        "os.kill(os.getpid(), signal.SIGTERM if 'term' in sys.argv else signal.SIGINT)",
        "Deleted()",  # Python drops what is raised there: NDArrays have such a method
        "sys.path.insert(0, sys.argv[2]); import swallows",
    ],
)
def test_a_signal_during_the_work(what, word, code, tmp_path):
    """At once, or as soon as an exception is not dropped any more; `finally` has its turn."""
    (tmp_path / "swallows.py").write_text("import __main__; __main__.hit()")
    done = python(WORK.format(what=what), word, str(tmp_path))
    assert (done.returncode, done.stdout) == (code, "cleaned up\n")
    assert done.stderr == "interrupted: nothing was written\n"


def test_what_is_ignored_stays_so():
    """As in the background of a shell's script: Ctrl-C is for the others."""
    code = """
        import os, signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        import interrupt
        interrupt.run(lambda: os.kill(os.getpid(), signal.SIGINT) or 7)
    """
    assert python(code).returncode == 7
