/**
 * Questions to the server. They travel over hidden widgets of gradio: we press a button, gradio takes the question
 * along (`take`), and the answer appears in a field. One wire carries one question at a time.
 *
 * We look into the field ourselves, which is the same in every gradio.
 */

const PATIENCE = { quick: 30_000, slow: 900_000 };
const PAUSE = 20; // milliseconds for gradio to be done with the question before
const LOOK = 60; // milliseconds between looks at the field, while a question is under way
const AGAIN = 1000; // milliseconds after which gradio has not heard the button
const SILENCE = "The WebUI does not answer. Is it still running?";

/** @typedef {Record<string, any> & {error?: string}} Answer */

export class Wire {
  /** @param {"quick" | "slow"} name */
  constructor(name) {
    this.name = name;
    this.number = Date.now(); // unlike those of a page before: some browsers keep what was in fields
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
    clearTimeout(this.unheard);
    return this.waiting[0]?.question ?? "{}";
  }

  #look() {
    const field = /** @type {any} */ (document.querySelector(
      `#dsoup_${this.name}_answer textarea, #dsoup_${this.name}_answer input`));
    if (!field?.value || field.value === this.seen) return;
    this.seen = field.value;
    try {
      const answer = JSON.parse(field.value);
      if (answer.id === this.waiting[0]?.id) this.#answered(answer);
    } catch {
      // not an answer: the clock goes on
    }
  }

  #send() {
    clearTimeout(this.clock);
    this.clock = setTimeout(() => this.#answered({ error: SILENCE }), PATIENCE[this.name]);
    this.unheard = setTimeout(() => this.#press(), PAUSE);
    this.looking ??= setInterval(() => this.#look(), LOOK);
  }

  #press() {
    this.unheard = setTimeout(() => this.#press(), AGAIN);
    const button = document.getElementById(`dsoup_${this.name}_send`);
    (button?.closest("button") ?? button?.querySelector("button"))?.click();
  }

  /** @param {Answer} answer */
  #answered(answer) {
    clearTimeout(this.clock);
    clearTimeout(this.unheard);
    const { done } = this.waiting.shift() ?? {};
    if (this.waiting.length) {
      this.#send();
    } else {
      clearInterval(this.looking);
      this.looking = undefined;
    }
    done?.(answer);
  }
}

/** Both wires. @param {any} page where gradio's events look for `take` */
export function wires(page) {
  const [quick, slow] = [new Wire("quick"), new Wire("slow")];
  page.take = (/** @type {string} */ name) => (name === "slow" ? slow : quick).take();
  return {
    /** @param {string} verb @param {object} [details] */
    quick: (verb, details = {}) => quick.ask(verb, details),
    /** @param {string} verb @param {object} [details] */
    slow: (verb, details = {}) => slow.ask(verb, details),
  };
}
