"""What ComfyUI is told in four languages: complete, of the same nodes, and safe for the way it is shown."""

import json
import re

import pytest

from demo.locales import LOCALES, SCRIPTS, TRANSLATED, english, gaps, leaves, load, used

QUOTED = re.compile(r'"[^"]+"')
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\w)")
CODE = re.compile(r"\b[A-Za-z]+(?::[a-z]+){2}\b|\bNAME=weight\b|\b(?:IN|M|OUT)\d\d\b|\b(?:BASE|TIME|FINAL)\b|"
                  r"θ = [^;；]*")
SYNTAX = re.compile(r"[{}@|]")  # what vue-i18n, which frontends put texts through, would read as its own


@pytest.fixture(scope="module")
def told(comfy):
    """Our texts as the server gives them to the browser, by language: nodeDefs and nodeCategories."""
    return json.loads(comfy.client.get("/i18n"))


def texts(words, kind=""):
    """(key, text) of all texts, or of those of a kind such as tooltip."""
    for key in leaves(words):
        value = words
        for part in key.split("."):
            value = value[part]
        if key.endswith(kind):
            yield key, value


def pairs(language):
    """(key, English, translation) of all texts of nodes."""
    there = dict(texts(load(LOCALES / language / "nodeDefs.json")))
    return [(key, text, there[key]) for key, text in texts(load(LOCALES / "en" / "nodeDefs.json"))]


def test_nothing_is_missing_and_nothing_left_over():
    """The same keys in all languages, for nodes and for the editors. If not: python -m demo.locales."""
    assert list(gaps()) == []


def test_english_is_what_the_nodes_say(client):
    """If not: python -m demo.locales, then translate what has changed."""
    for name, words in english(client.object_info()).items():
        assert load(LOCALES / "en" / f"{name}.json") == words


@pytest.mark.parametrize("language", ["en", *TRANSLATED])
def test_the_server_tells_them(told, language):
    assert told[language]["nodeDefs"].items() >= load(LOCALES / language / "nodeDefs.json").items()
    main = load(LOCALES / language / "main.json")
    assert told[language]["nodeCategories"].items() >= main["nodeCategories"].items()
    assert told[language]["templateWorkflows"]["category"].items() >= main["templateWorkflows"]["category"].items()


def test_every_input_and_output_has_a_tooltip():
    words = load(LOCALES / "en" / "nodeDefs.json")
    assert len(list(texts(words, ".tooltip"))) > 200
    assert [key for key, text in texts(words, ".tooltip") if len(text) <= 5] == []


@pytest.mark.parametrize("language", ["en", *TRANSLATED])
def test_no_text_is_empty_or_means_something_to_the_frontend(language):
    words = {**load(LOCALES / language / "nodeDefs.json"), **load(LOCALES / language / "main.json")}
    assert [key for key, text in texts(words) if not text.strip() or text != text.strip()] == []
    assert [key for key, text in texts(words) if SYNTAX.search(text)] == []
    assert not any(re.search(r"[./]", name) for name in words["nodeCategories"])


@pytest.mark.parametrize("language", TRANSLATED)
def test_sentences_are_translated(language):
    """In words of the language's own script, and names of options, numbers and examples are as they are typed."""
    own = {"zh": "[\u4e00-\u9fff]", "ja": "[\u3040-\u30ff\u4e00-\u9fff]", "ru": "[\u0400-\u04ff]"}[language]
    for key, text, said in pairs(language):
        if not key.endswith(".name"):
            assert re.search(own, said), key
        for kept in (QUOTED, NUMBER, CODE):
            assert sorted(set(kept.findall(text)) - set(kept.findall(said))) == [], key


@pytest.mark.parametrize("language", TRANSLATED)
def test_options_are_called_by_their_names(client, language):
    """A tooltip that explains options names them as the list does."""
    info = client.object_info()
    there = {key: said for key, _, said in pairs(language)}
    explained = 0
    for key, text, _ in pairs(language):
        node, part, name = key.split(".")[:3] if key.endswith(".tooltip") else ("", "", "")
        if part != "inputs":
            continue
        spec = {**info[node]["input"].get("required", {}), **info[node]["input"].get("optional", {})}[name]
        for option in spec[1].get("options", []):
            if re.search(rf"(^|[.;:] ){re.escape(str(option))}(:|;| \(| keeps)", text):
                explained += 1
                assert re.search(rf"(?<![A-Za-z_]){re.escape(option)}(?![A-Za-z_])", there[key]), (key, option)
    assert explained > 20


@pytest.mark.parametrize("language", TRANSLATED)
def test_nodes_are_called_by_their_translated_names(language):
    """Where a text sends people to another node, it is the name that they see."""
    names = {text: said for key, text, said in pairs(language) if key.endswith(".display_name")}
    names["Load Student"] = names["Load Student (DMM)"]
    for key, text, said in pairs(language):
        for name in names:
            if " " in name and name in text and not key.endswith(".display_name"):
                assert name not in said and names[name] in said, (key, name)
    assert len(set(names.values())) == len(names) - 1


@pytest.mark.parametrize("language", TRANSLATED)
def test_editors_keep_their_values(language):
    """Every {0} of an English text is in its translation too."""
    for text, said in load(SCRIPTS / "words" / f"{language}.json").items():
        assert said.strip() and sorted(re.findall(r"\{\d\}", text)) == sorted(re.findall(r"\{\d\}", said)), text


def test_texts_of_editors_are_found(tmp_path):
    (tmp_path / "lib").mkdir()
    file = tmp_path / "lib/editor.js"
    file.write_text('// word("a comment")\nsay(word("one \\"thing\\""), sword("another"));\n'
                    'say(word(\n  "a long " +\n  "text {0}", 1));')
    assert used(tmp_path) == {'one "thing"': "editor.js", "a long text {0}": "editor.js"}
    for wrong in ("word(name)", "word(`text ${count}`)", 'word("text" + name)', "word('text')"):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=r"editor\.js.*double quotes"):
            used(tmp_path)


def test_the_pack_is_published_with_them():
    ignored = (LOCALES.parent / ".comfyignore").read_text(encoding="utf-8").split()
    assert not {"locales", "locales/", "/locales/", "js/", "js/words/", "*.json", "example_workflows/"} & set(ignored)
