"""Columns as Go's tabwriter lays them out."""

from pilothouse.cli.tabs import tabbed, table


def test_a_column_is_as_wide_as_its_widest_cell_and_two_blanks():
    assert tabbed("Name:\tweb\nNamespace:\tdefault\n") == "Name:       web\nNamespace:  default\n"


def test_a_line_without_the_column_ends_the_block():
    assert tabbed("a\tb\nplain\nlonger\tc\n") == "a  b\nplain\nlonger  c\n"


def test_the_last_cell_of_a_line_is_never_padded():
    assert tabbed("a\tlong long\tx\nb\tc\n") == "a  long long  x\nb  c\n"


def test_a_table_has_three_blanks_and_at_least_six_characters_a_column():
    assert table([["NAME", "AGE"], ["a", "1s"]]) == "NAME   AGE\na      1s\n"
    assert table([["a", "b"]]) == "a     b\n"
