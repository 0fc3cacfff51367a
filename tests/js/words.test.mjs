/** word(): translated where there is a translation, with values in their places; and labels of nodes. */
import assert from "node:assert/strict";
import test from "node:test";

import { labelNode, translateDefinitions } from "../../js/lib/node_words.js";
import { speak, word } from "../../js/lib/words.js";

/** Answers with a table, and notes who was asked. */
function server(table, asked = []) {
  return async (url) => {
    asked.push(url.pathname);
    return { ok: table !== null, json: async () => table };
  };
}

test("English needs no table", async () => {
  const asked = [];
  await speak("en", server({ one: "eins" }, asked));
  assert.equal(word("one"), "one");
  await speak("../../secret", server({ one: "eins" }, asked));
  assert.equal(word("{0} of {1}", 1, 26), "1 of 26");
  assert.deepEqual(asked, []);
});

test("a table in the folder of words, chosen by the setting", async () => {
  const asked = [];
  await speak("ja", server({ "{0} of {1}": "{1} 中 {0}", "one": "" }, asked));
  assert.match(asked[0], /\/js\/words\/ja\.json$/);
  assert.equal(word("{0} of {1}", 1, 26), "26 中 1");
  assert.equal(word("one"), "one");
  assert.equal(word("another"), "another");
});

test("values are not read as places", async () => {
  await speak("en", server({}));
  assert.equal(word("{0} and {1}", "{1}", "$&"), "{1} and $&");
  assert.equal(word("{0} and {2}", "one"), "one and {2}");
});

test("no translation, no harm", async () => {
  await speak("zh", server({ one: "一" }));
  for (const broken of [server(null), async () => { throw new Error("gone"); },
    async () => ({ ok: true, json: async () => { throw new SyntaxError("not JSON"); } })]) {
    await speak("zh", broken);
    assert.equal(word("one"), "one");
  }
});

const WORDS = {
  nodeDefs: {
    DSoupOne: {
      display_name: "Один", description: "Первый.", inputs: { share: { name: "доля", tooltip: "Сколько." } },
      outputs: { 0: { name: "СУП", tooltip: "Суп." } },
    },
    Other: { display_name: "Чужой", description: "", inputs: {}, outputs: {} },
  },
  nodeCategories: { "diffusion soup": "суп" },
};

/** Definitions as the server sends them. */
const definitions = () => ({
  DSoupOne: {
    display_name: "One", description: "The first.", category: "diffusion soup/styles", output_tooltips: ["Soup."],
    input: { required: { share: ["FLOAT", { tooltip: "How much.", min: 0 }] }, optional: { plain: ["MODEL"] } },
  },
  Other: { display_name: "Other", description: "", category: "others", input: {} },
});

test("definitions that the frontend has not translated", () => {
  const given = definitions();
  const missed = translateDefinitions(given, WORDS);
  assert.deepEqual(missed, { DSoupOne: WORDS.nodeDefs.DSoupOne });
  assert.deepEqual(given.DSoupOne, {
    display_name: "Один", description: "Первый.", category: "суп/styles", output_tooltips: ["Суп."],
    input: { required: { share: ["FLOAT", { tooltip: "Сколько.", min: 0 }] }, optional: { plain: ["MODEL"] } },
  });
  assert.equal(given.Other.display_name, "Other");
  assert.deepEqual(translateDefinitions(given, WORDS), {});
  assert.deepEqual(translateDefinitions(definitions(), {}), {});
});

test("labels of a node; its names stay", () => {
  const node = {
    inputs: [{ name: "share", localized_name: "share" }, { name: "plain", localized_name: "plain" }],
    widgets: [{ name: "share", label: "share" }, { name: "editor" }],
    outputs: [{ name: "SOUP", type: "DSOUP", localized_name: "SOUP" }],
  };
  labelNode(node, WORDS.nodeDefs.DSoupOne);
  assert.deepEqual(node.inputs.map((input) => [input.name, input.localized_name]), [["share", "доля"], ["plain", "plain"]]);
  assert.deepEqual(node.widgets.map((widget) => [widget.name, widget.label]), [["share", "доля"], ["editor", undefined]]);
  assert.deepEqual(node.outputs.map((output) => [output.name, output.localized_name]), [["SOUP", "СУП"]]);
});
