from pilothouse.api.yaml_text import dump


def test_long_lines_are_folded_and_texts_that_read_as_something_else_are_quoted():
    long = " ".join(["word"] * 20)
    assert dump({"message": long, "on": "1", "x10": "=", "x9": None}) == (
        "message: word word word word word word word word word word word word word word word\n"
        "  word word word word word\n"
        '"on": "1"\n'
        "x9: null\n"
        "x10: =\n"
    )
