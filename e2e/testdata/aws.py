"""Runs calls of the aws CLI, each in a copy (fork) of this process, which has read the CLI's code and its models already:
of the second that a call takes, nine tenths are that reading.

Usage: python3 aws.py SOCKET. Prints the CLI's version once it listens there. A call is a connection: it writes a JSON
object with env (a list of NAME=value) and args, ends its side, and reads an object with code, stdout and stderr. It ends
with its standard input.
"""

import functools
import gc
import json
import os
import select
import signal
import socket
import sys

import awscli
from awscli import clidriver

try:
    from awscli.botocore import loaders  # version 2 has its own
except ImportError:
    from botocore import loaders

loaders.JSONFileLoader.load_file = functools.cache(loaders.JSONFileLoader.load_file)
CLOSED = "http://127.0.0.1:1"
DATA = os.environ["AWS_DATA_PATH"]  # the CLI adds its own to it when it is imported
WARM = (["ssm", "describe-activations"], ["iam", "list-users"], ["sts", "get-caller-identity"])


def run(env, args):
    """Does what the script aws does, and gives its exit code."""
    os.environ.clear()
    os.environ.update((pair.split("=", 1) for pair in env), AWS_DATA_PATH=DATA)
    sys.argv = ["aws", *args]
    try:
        code = clidriver.main()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def redirect(fd):
    """Has all that is written to fd kept in a file."""
    kept = os.memfd_create("aws")
    os.dup2(kept, fd)
    return kept


def read(fd):
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def answer(connection):
    with connection.makefile("rb") as stream:
        call = json.load(stream)
    out, err = redirect(1), redirect(2)
    code = run(call["env"], call["args"])
    connection.sendall(json.dumps({"code": code, "stdout": read(out), "stderr": read(err)}).encode())


def warm():
    """Makes calls that nobody answers, in silence."""
    kept, env = (os.dup(1), os.dup(2)), dict(os.environ)
    redirect(1), redirect(2)
    for args in WARM:
        run(["AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
             "AWS_CONFIG_FILE=/dev/null", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true", "HOME=/nonexistent"],
            [*args, "--endpoint-url", CLOSED])
    os.dup2(kept[0], 1), os.dup2(kept[1], 2)
    os.environ.clear()
    os.environ.update(env)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    warm()
    gc.freeze()  # a collection in a copy would copy the pages of all that was read
    gc.disable()
    listener.listen(64)
    print(awscli.__version__, flush=True)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            try:
                answer(connection)
            finally:
                os._exit(0)
        connection.close()
        reap()


signal.signal(signal.SIGINT, signal.SIG_DFL)
main()
