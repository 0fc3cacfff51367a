/** What the server would answer to /diffusion_soup/blocks, small enough to check by eye. */

/** @param {number} deep blocks of each side */
function family(deep) {
  const side = (/** @type {string} */ name) => Array.from({ length: deep }, (_, at) => name + String(at).padStart(2, "0"));
  const [ins, outs] = [side("IN"), side("OUT")];
  const one = (/** @type {string[]} */ names) => names.map((name) => [name]);
  const last = outs[deep - 1];
  return {
    names: ["BASE", ...ins, "M00", ...outs, "TIME", "FINAL"],
    layouts: {
      supermerger: [
        [["BASE"], ["IN00", "TIME"], ...one(ins.slice(1)), ["M00"], ...one(outs.slice(0, -1)), [last, "FINAL"]],
        [["IN00", "TIME"], ...one(ins.slice(1)), ["M00"], ...one(outs.slice(0, -1)), [last, "FINAL"]],
      ],
      "comfyui-blocks": [[[...ins, "TIME"], ["M00"], [...outs, "FINAL"]]],
      padded: [[["TIME"], [], [], ...one(ins), ["M00"], ...one(outs), ["FINAL"]]],
      soup: [one(["BASE", ...ins, "M00", ...outs, "TIME", "FINAL"])],
    },
    presets: { Hill: { IN00: 0, M00: 1, [last]: 0 } },
  };
}

export const SD1 = "SD 1 / SD 2";
export const SDXL = "SDXL";
export const tables = {
  families: { [SD1]: family(12), [SDXL]: family(9) },
  dialects: { supermerger: "SuperMerger", "comfyui-blocks": "three numbers", padded: "padded", soup: "Soup" },
  files: [],
};
