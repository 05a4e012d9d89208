"""Command lines are read by pflag's rules."""

import pytest

from pilothouse.cli.errors import Failure
from pilothouse.cli.verb import Parsed, flag, many, number, text

FLAGS = (
    flag("-w", "--watch"),
    flag("--wait", default=True),
    text("-o", "--output"),
    text("--dry-run", default="none", bare="unchanged"),
    number("--tail"),
    many("-f", "--filename", split=True),
    many("--env"),
    flag("-i", "--stdin"),
    flag("-t", "--tty"),
)


def parsed(*args):
    result = Parsed(FLAGS, "kubectl get")
    result.read(list(args))
    return result


@pytest.mark.parametrize(
    "args, values",
    [
        (["-o", "yaml"], {"output": "yaml"}),
        (["-o=yaml"], {"output": "yaml"}),
        (["-oyaml"], {"output": "yaml"}),
        (["--output=a=b"], {"output": "a=b"}),
        (["--wait=false", "-w"], {"wait": False, "watch": True}),
        (["-it"], {"stdin": True, "tty": True}),
        (["-ito", "x"], {"stdin": True, "tty": True, "output": "x"}),
        (["--tail=-1"], {"tail": -1}),
        (["-f", "a,b", "-f", "c"], {"filename": ["a", "b", "c"]}),
        (["--env", "A=1,2", "--env=B=3"], {"env": ["A=1,2", "B=3"]}),
    ],
)
def test_flags(args, values):
    assert parsed(*args).values == values


def test_a_flag_whose_value_may_be_left_out_never_takes_the_next_word():
    result = parsed("--dry-run", "pods", "--dry-run=server")
    assert (result.words, result.values) == (["pods"], {"dry_run": "server"})


def test_what_stands_after_two_dashes_is_left_alone():
    result = parsed("pod", "-i", "--", "ls", "-o", "--")
    assert (result.words, result.after, result.values) == (["pod"], ["ls", "-o", "--"], {"stdin": True})
    assert parsed("pod").after is None


@pytest.mark.parametrize(
    "args, message",
    [
        (["--nope"], "unknown flag: --nope\nSee 'kubectl get --help' for usage."),
        (["-xo"], "unknown shorthand flag: 'x' in -xo"),
        (["-o"], "flag needs an argument: 'o' in -o"),
        (["--output"], "flag needs an argument: --output"),
        (
            ["--tail=x"],
            'invalid argument "x" for "--tail" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            ["--watch=maybe"],
            'invalid argument "maybe" for "-w, --watch" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
    ],
)
def test_refusals_are_pflags_own(args, message):
    with pytest.raises(Failure) as caught:
        parsed(*args)
    assert caught.value.message.startswith(message)
