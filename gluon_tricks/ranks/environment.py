"""Which environment variables the ranks of a launch get.

Horovod writes the whole environment of horovodrun on the command line of every rank, ssh's among them, where other
users of both machines can read it. So horovodrun itself is started with what ranks need, and with nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted

NAMES = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "COLUMNS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_OFFLINE", "XDG_CACHE_HOME"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "SSH_AUTH_SOCK"),
)  # SSH_AUTH_SOCK is the place of ssh's agent, and ssh is started by horovodrun
PREFIXES = (
    *("LC_", "PYTHON", "GLUON_TRICKS_", "MXNET_", "DMLC_", "HOROVOD_", "GLOO_", "NCCL_", "CUDA_", "CUDNN_", "NVIDIA_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "MKLDNN_", "ONEDNN_", "OPENBLAS_", "OPENCV_", "MALLOC_", "SLURM_"),
    "HF_",
)
# What is a secret by its name, or an address with a password in it, is passed on only where it is asked for.
_SECRET = re.compile("TOKEN|SECRET|PASSW|PASSPHRASE|_PASS$|_PWD$|CREDENTIAL|KEY$|JWT|_AUTH$", re.IGNORECASE)
_PASSWORD = re.compile("[^/:@]*:[^/@]*@|.*://.*@", re.DOTALL)  # an address of a proxy may have no http://
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def of_ranks(environment: Mapping[str, str], asked_for: Sequence[str] = ()) -> dict[str, str]:
    """The variables that ranks get: those of NAMES and PREFIXES that are no secrets, and those asked for.

    Args:
        environment: of the process that starts them.
        asked_for: NAME, or NAME=VALUE, as of mpirun's -x.

    Raises:
        Refused: a name asked for is none, or is not in the environment.
    """
    passed = {name: value for name, value in environment.items() if _is_needed(name, value)}
    for word in asked_for:
        name, equals, value = word.partition("=")
        if not _NAME.fullmatch(name) or not equals and name not in environment:
            raise Refused(f"-x {quoted(word)}: give the NAME of a variable of this environment, or NAME=VALUE")
        passed[name] = value if equals else environment[name]
    return passed


def _is_needed(name: str, value: str) -> bool:
    known = name in NAMES or name.startswith(PREFIXES)
    return known and not _SECRET.search(name) and not _PASSWORD.match(value)
