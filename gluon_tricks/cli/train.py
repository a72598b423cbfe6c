"""Train a network on ImageNet, or on any images in RecordIO files. `--help` lists the flags, GluonCV's among them.

Exit codes: 0 done, 2 refused before any work, 75 interrupted and resumable (--resume auto --save-dir
RUN), 130 and 143 interrupted before anything was started (Ctrl-C, SIGTERM), 1 anything else.
"""

from __future__ import annotations

from gluon_tricks.cli import command_line, training
from gluon_tricks.core.commands import command

INTERRUPTED = None  # training.StopRequest takes the signals


@command
def main(argv: list[str] | None = None) -> int:
    args = command_line.parse(argv)
    synchronised = args.sync_bn or any("SyncBatchNorm" in setting for setting in args.set)
    return training.train(args, command_line.start, command_line.recipe_from_flags, chatty=synchronised)
