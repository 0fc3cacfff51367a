/**
 * Questions to the server. They travel over hidden widgets of gradio: we press a button, gradio takes the question
 * along (`take`) and hands the answer back (`give`). One wire carries one question at a time.
 */

const PATIENCE = { quick: 30_000, slow: 900_000 };
const SILENCE = "The WebUI does not answer. Is it still running?";

/** @typedef {Record<string, any> & {error?: string}} Answer */

export class Wire {
  /** @param {"quick" | "slow"} name */
  constructor(name) {
    this.name = name;
    this.number = 0;
    /** @type {{id: number, question: string, done: (answer: Answer) => void}[]} */
    this.waiting = [];
  }

  /** @param {string} verb @param {object} details @returns {Promise<Answer>} an error is in the answer */
  ask(verb, details) {
    const id = ++this.number;
    const asked = new Promise((done) => {
      this.waiting.push({ id, question: JSON.stringify({ id, verb, ...details }), done });
    });
    if (this.waiting.length === 1) this.#send();
    return asked;
  }

  /** The question, for gradio to take along. */
  take() {
    return this.waiting[0]?.question ?? "{}";
  }

  /** @param {string} text */
  give(text) {
    try {
      const answer = JSON.parse(text);
      if (answer.id === this.waiting[0]?.id) this.#answered(answer);
    } catch {
      // an answer of before, or none: the clock goes on
    }
  }

  #send() {
    clearTimeout(this.clock);
    this.clock = setTimeout(() => this.#answered({ error: SILENCE }), PATIENCE[this.name]);
    const button = document.getElementById(`dsoup_${this.name}_send`);
    if (button) (button.closest("button") ?? button.querySelector("button") ?? button).click();
    else this.#answered({ error: SILENCE });
  }

  /** @param {Answer} answer */
  #answered(answer) {
    clearTimeout(this.clock);
    const { done } = this.waiting.shift() ?? {};
    if (this.waiting.length) this.#send();
    done?.(answer);
  }
}

/** Both wires. @param {any} page where gradio's events look for `take` and `give` */
export function wires(page) {
  const [quick, slow] = [new Wire("quick"), new Wire("slow")];
  page.take = (/** @type {string} */ name) => (name === "slow" ? slow : quick).take();
  page.give = (/** @type {string} */ name, /** @type {any} */ answer) =>
    (name === "slow" ? slow : quick).give(Array.isArray(answer) ? answer[0] : answer);
  return {
    /** @param {string} verb @param {object} [details] */
    quick: (verb, details = {}) => quick.ask(verb, details),
    /** @param {string} verb @param {object} [details] */
    slow: (verb, details = {}) => slow.ask(verb, details),
  };
}
