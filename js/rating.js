/** Diffusion Soup in the browser: pictures that Select Soup wants to have rated by hand. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { closeRating, openRating } from "./lib/rating_dialog.js";
import { word } from "./lib/words.js";

const PATH = "/diffusion_soup/rating";

/** @param {import("./lib/rating_dialog.js").Question | null} question */
function show(question) {
  if (!question) {
    closeRating();
    return;
  }
  const address = (/** @type {number} */ at) => api.apiURL(`${PATH}/picture?id=${question.id}&at=${at}`);
  openRating(question, address, (stars) => send(question.id, stars), () => void api.interrupt(null));
}

/** @param {string} id @param {number[]} stars */
async function send(id, stars) {
  try {
    const answer = await api.fetchApi(PATH, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ id, stars }) });
    return answer.ok ? "" : String((await answer.json()).error);
  } catch {
    return word("ComfyUI does not answer.");
  }
}

/** A browser that is opened later, or was away, sees what is waiting. */
async function look() {
  try {
    const answer = await api.fetchApi(PATH);
    if (answer.ok) show((await answer.json()).question);
  } catch {
    // ComfyUI is away; it will say when it is back
  }
}

app.registerExtension({
  name: "diffusion_soup.rating",
  setup() {
    /** @type {any} */ (api).addEventListener("diffusion_soup.rating",
      (/** @type {CustomEvent<any>} */ { detail }) => show(detail.question));
    api.addEventListener("reconnected", () => void look());
    void look();
  },
});
