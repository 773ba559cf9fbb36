"""The English of the docstrings and messages: the rules that a program can check."""

import ast
import re
from pathlib import Path

import pytest
from source import docstrings_of, modules_of, tree_of

PACKAGE = Path(__file__).resolve().parents[2] / "gdws_explorer"

QUESTION = re.compile(r"(What|How|Who|Whom|Whose|Where|When|Which|Why)\b")

# Words that readers of English as a second language stumble over, or metaphors where the field
# has a term. "hand" and "held" are not among them: "by hand" and "held-out" are plain.
AVOIDED = [
    "as yet", "asked for", "beside", "crew", "dearer", "errand", "for the sake of", "hear",
    "heard", "hears", "hunt", "ladder", "march", "nobody", "of its own accord", "of one's own",
    "shall", "somebody", "stands", "tamed", "thereof", "told", "twin", "twins", "wanted", "whoever",
]  # fmt: skip
AVOIDED_WORD = re.compile(rf"\b({'|'.join(AVOIDED)})\b(?!`)", re.IGNORECASE)

CODE = re.compile(r"`[^`]*`|^\s*(>>>|\.\.\.) .*$", re.MULTILINE)

# "'x' is no metric" and "there is no metric 'x'" say only what something is not; "unknown metric
# 'x'; expected one of …" also says what to write.
IS_NO = re.compile(
    r"(?<!there )\bis no (?!better|longer|more)[a-z]|\bthere is no (?!file |folder )[a-z ]+ $"
)


def question_words(path):
    """First lines that begin with a question word."""
    return [
        (line, text.splitlines()[0])
        for _, line, text in docstrings_of(path)
        if QUESTION.match(text)
    ]


def avoided_words(path):
    """Words to avoid, outside of code."""
    return [
        (line, word)
        for _, line, text in docstrings_of(path)
        for word in AVOIDED_WORD.findall(CODE.sub("", text))
    ]


def unknown_values(path):
    """Messages that say only what something is not."""
    docstrings = {line for _, line, _ in docstrings_of(path)}
    return [
        (node.lineno, node.value.strip())
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.lineno not in docstrings
        and IS_NO.search(node.value)
    ]


RULES = [question_words, avoided_words, unknown_values]


def places(rule):
    """What breaks a rule, by room."""
    found = {}
    for module, path in modules_of(PACKAGE).items():
        room = module.partition(".")[0] or "__init__"
        lines = [f"{path.relative_to(PACKAGE)}:{line} {text}" for line, text in rule(path)]
        found.setdefault(room, []).extend(lines)
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    for lines in places(rule).values():
        assert lines == [], "\n".join(lines)


EXAMPLE = """# What a comment says does not count.
'''What a plan costs.

It stood beside `somebody`. Somebody whose twinkle is no rule.
'''
class Store: 'Where it is kept.'
def whatever(): 'Whatever is whole, whether or not.'
def refuse(name):
    raise ValueError(f'{name!r} is no metric; expected one of 3, and it is no longer there')
def other(name):
    return f'there is no bench {name!r}', f'there is no file {name}', 'there is no image.'
"""


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (question_words, [(2, "What a plan costs."), (6, "Where it is kept.")]),
        (avoided_words, [(2, "beside"), (2, "Somebody")]),
        (
            unknown_values,
            [
                (9, "is no metric; expected one of 3, and it is no longer there"),
                (11, "there is no bench"),
            ],
        ),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_rule_can_be_broken(tmp_path, rule, found):
    file = tmp_path / "module.py"
    file.write_text(EXAMPLE)
    assert rule(file) == found
