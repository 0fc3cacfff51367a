/** What one table of ingredients knows of its rows' files, asked for when it is needed. */
import { word } from "./words.js";

/** @typedef {import("./ingredient_facts.js").IngredientFacts} IngredientFacts */
/** @typedef {import("./ingredient_facts.js").Facts} Facts */
/** @typedef {import("./ingredient_facts.js").Tasted} Tasted */
/** @typedef {import("./ingredient_lines.js").Line} Line */

const PAUSE = 300; // milliseconds without a change before it is tasted
const ASK_HASH = 700; // milliseconds

/** @param {{kind: string, file: string}} line */
const keyOf = ({ kind, file }) => `${kind} ${file}`;

export class IngredientKnowledge {
  /**
   * @param {IngredientFacts} server
   * @param {() => void} changed
   * @param {(text: string) => void} say
   */
  constructor(server, changed, say) {
    this.server = server;
    this.changed = changed;
    this.say = say;
    /** @type {Map<string, Facts>} */
    this.facts = new Map();
    /** @type {Set<string>} what is shown until it is known again */
    this.stale = new Set();
    /** @type {Map<string, Tasted>} */
    this.tasted = new Map();
    this.reference = ""; // what distances are from
    this.asked = "";
    this.timer = 0;
    this.hashing = 0;
  }

  /** @param {Line} line */
  of(line) {
    return { facts: this.facts.get(keyOf(line)) ?? null, tasted: this.tasted.get(keyOf(line)) ?? null };
  }

  /** Files may have changed. */
  forget() {
    this.stale = new Set(this.facts.keys());
    this.asked = "";
  }

  /**
   * Ask for facts that are not known, and for the taste once nothing has changed for a moment.
   * @param {Line[]} lines
   * @param {string} base
   */
  learn(lines, base) {
    for (const line of lines) {
      const key = keyOf(line);
      if (!line.file || (this.facts.has(key) && !this.stale.has(key))) continue;
      this.facts.set(key, this.facts.get(key) ?? {});
      this.stale.delete(key);
      void this.server.of(line.kind, line.file).then((facts) => {
        this.facts.set(key, facts);
        this.changed();
      });
    }
    const asked = lines.filter(({ file }) => file)
      .map(({ kind, file, strength, active }) => ({ kind, file, strength, active }));
    const question = JSON.stringify([base, asked]);
    if (question === this.asked) return;
    this.asked = question;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.#taste(base === "none" ? "" : base, asked, question), PAUSE);
  }

  /** @param {string} base @param {any[]} asked @param {string} question */
  async #taste(base, asked, question) {
    const taste = asked.length ? await this.server.taste(base, asked) : null;
    if (question !== this.asked) return;
    this.tasted = new Map((taste?.ingredients ?? []).map((each, at) => [keyOf(asked[at]), each]));
    this.reference = taste?.reference ?? "";
    if (taste?.error) this.say(taste.error);
    this.changed();
  }

  /** Hash a file, stop it, or copy the hash that is known. @param {Line} line */
  async hash(line) {
    const facts = this.facts.get(keyOf(line));
    if (facts?.sha256) {
      await navigator.clipboard?.writeText(facts.sha256);
      this.say(word("Copied the hash."));
      return this.changed();
    }
    await this.server.hash(line.kind, line.file, typeof facts?.hashing === "number");
    return this.#watch(line);
  }

  /** Look how far a file is hashed, until it is. @param {Line} line */
  async #watch(line) {
    for (const watching = ++this.hashing; watching === this.hashing; ) {
      const facts = await this.server.again(line.kind, line.file);
      this.facts.set(keyOf(line), facts);
      this.changed();
      if (typeof facts.hashing !== "number") return;
      await new Promise((done) => { setTimeout(done, ASK_HASH); });
    }
  }
}
