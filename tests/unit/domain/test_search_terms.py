"""Folding text and splitting it into search terms."""

import pytest

from pixyproxy.domain.search_terms import MAX_TERM_LENGTH, _split, fold, index_terms, query_terms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Café", "CAFE"),
        ("Straße", "STRASSE"),
        ("ÅNGSTRÖM", "angstrom"),
        ("smørrebrød", "SMORREBROD"),
        ("Łódź", "lodz"),
        ("ﬁne", "fine"),
        ("e\u0301te\u0301", "été"),
        ("İstanbul", "istanbul"),
        ("K", "k"),  # the Kelvin sign
        ("ｆｕｌｌ", "full"),
    ],
)
def test_case_accents_and_forms_do_not_matter(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_kana_with_and_without_voicing_marks_stay_different() -> None:
    assert fold("が") != fold("か")


@pytest.mark.parametrize(
    ("prompt", "query", "found"),
    [
        ("a rubber duck on a sink", "duck rubber", True),
        ("a rubber duck on a sink", "rub du", True),
        ("a rubber duck on a sink", "uck", False),
        ("a rubber duck on a sink", "a", True),
        ("a rubber duck, on a sink", "duck; on", True),
        ("un café crème", "CREME", True),
        ("一只橡皮鸭子", "鸭子", True),
        ("一只橡皮鸭子", "橡皮鸭", True),
        ("一只橡皮鸭子", "子", True),
        ("一只橡皮鸭子", "鸭橡", False),
        ("アヒルのおもちゃ", "おもちゃ", True),
        ("a duck 🦆 swims", "🦆", True),
        ("a duck swims", "🦆", False),
        ("100% wool", "100%", True),
        ("100 percent wool", "%", False),
        ("100% wool", "%", True),
        ("snake_case", "_", True),
        ("snake case", "_", False),
        ("a\\b", "\\", True),
        ('the "quoted" word', '"', True),
        ("don't", "don't", True),
        ("오리 한 마리", "오리", True),
        ("утка", "УТ", True),
    ],
)
def test_a_query_finds_prompts_by_their_terms(prompt: str, query: str, found: bool) -> None:
    terms = query_terms(query)
    assert terms
    assert all(any(term.startswith(wanted) for term in index_terms(prompt)) for wanted in terms) is found


def test_a_query_without_any_text_has_no_terms() -> None:
    assert query_terms(" \n\t\x00") == ()


def test_punctuation_counts_only_if_a_query_has_nothing_else() -> None:
    assert query_terms("100%") == ("100",)
    assert query_terms("%_") == ("%", "_")


def test_a_repeated_word_is_one_term() -> None:
    assert query_terms("duck Duck DUCK") == ("duck",)


def test_long_words_are_found_by_their_beginning() -> None:
    word = "x" * 100
    assert index_terms(word) == {"x" * MAX_TERM_LENGTH}
    assert query_terms(word) == ("x" * MAX_TERM_LENGTH,)


def test_ascii_is_split_like_any_other_text() -> None:
    text = "".join(map(chr, range(128))) + " Two words, CamelCase; x_y-z 3.5% " + "w" * 70 + "\t`~{|}[\\]^"
    assert index_terms(text) == frozenset(term for term, _ in _split(text.lower()))
    assert fold(text) == fold(text + "é")[:-1]
