/** How the region canvas looks, in both renderings of nodes. */
import { PANEL_CSS } from "./region_panel.js";

export const EDITOR_CSS = `
.dsoup-regions { position: relative; overflow: hidden; }
.dsoup-body { display: flex; flex-direction: column; gap: 4px; height: 100%; min-height: 0; }
.dsoup-regions > .dsoup-body { position: absolute; inset: 0; }
.dsoup-regions .dsoup-tools > select { flex: 1 1 0; min-width: 0; text-overflow: ellipsis; }
.dsoup-count { flex: 1 1 0; opacity: 0.7; }
.dsoup-tools:not(:has(.dsoup-count:empty)) .dsoup-count { padding-left: 4px; }
.dsoup-count:empty { display: none; }
.dsoup-area { flex: 1 1 0; min-height: 0; container-type: size; display: grid; place-items: center; }
.dsoup-frame {
  position: relative; width: min(100cqw, 100cqh * var(--aspect, 4)); aspect-ratio: var(--aspect, 4);
  border-radius: 3px; overflow: hidden; touch-action: none; user-select: none; cursor: crosshair;
  background: #14161b; box-shadow: inset 0 0 0 1px rgb(255 255 255 / 0.22); color: #fff;
}
.dsoup-frame > * { position: absolute; inset: 0; }
.dsoup-heat { width: 100%; height: 100%; pointer-events: none; image-rendering: auto; }
.dsoup-frame:not(.heated) .dsoup-heat { display: none; }
.dsoup-holes, .dsoup-frame > svg, .dsoup-empty, .dsoup-labels { pointer-events: none; }
.dsoup-holes > div { position: absolute; background: repeating-linear-gradient(45deg, rgb(255 92 80 / 0.5) 0 3px,
  rgb(120 20 14 / 0.35) 3px 8px); }
.dsoup-layer { z-index: 1; pointer-events: none; }
.dsoup-rests { display: contents; }
.dsoup-region {
  position: absolute; box-sizing: border-box; pointer-events: auto; cursor: move; outline: none; border-radius: 2px;
  border: 1.5px solid rgb(var(--colour)); background: rgb(var(--colour) / 0.26);
}
.heated .dsoup-region { background: none; border-color: rgb(255 255 255 / 0.55); }
.dsoup-region:hover { background: rgb(var(--colour) / 0.36); }
.heated .dsoup-region:hover { background: rgb(255 255 255 / 0.08); }
.dsoup-region.selected { border-color: #fff; box-shadow: 0 0 0 1px rgb(var(--colour)),
  inset 0 0 0 1.5px rgb(var(--colour)); }
.dsoup-region.locked { cursor: default; border-style: dotted; }
.dsoup-region.wrong { border: 2px dashed #ff7a6b; }
.dsoup-region.cut.first { border-right: 0; border-top-right-radius: 0; border-bottom-right-radius: 0; }
.dsoup-region.cut.rest { border-left: 0; border-top-left-radius: 0; border-bottom-left-radius: 0; }
.dsoup-region:focus-visible { outline: 2px solid var(--p-primary-color, #5b8dd6); outline-offset: -4px; }
.dsoup-frame.wrap::before, .dsoup-frame.wrap::after {
  content: ""; position: absolute; z-index: 5; top: 0; bottom: 0; left: 0; width: 3px; pointer-events: none;
  background: repeating-linear-gradient(to bottom, rgb(255 255 255 / 0.85) 0 4px, rgb(0 0 0 / 0.4) 4px 8px);
}
.dsoup-frame.wrap::after { left: auto; right: 0; }
.dsoup-frame > svg { z-index: 2; width: 100%; height: 100%; fill: none; }
.dsoup-frame > svg path { vector-effect: non-scaling-stroke; }
.dsoup-tiles { stroke: rgb(255 255 255 / 0.42); stroke-width: 1; stroke-dasharray: 2 3; }
.dsoup-guides { stroke: #ff4fd8; stroke-width: 1; }
.dsoup-labels { z-index: 3; }
.dsoup-label {
  position: absolute; box-sizing: border-box; height: 15px; padding: 0 4px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; border-radius: 3px; font-size: 10px; line-height: 15px; color: #fff; pointer-events: auto;
  cursor: move; background: rgb(12 13 16 / 0.78); box-shadow: inset 2.5px 0 rgb(var(--colour)); padding-left: 6px;
}
.dsoup-label.selected { background: #fff; color: #111; font-weight: 600; z-index: 1; }
.dsoup-frame.drawing :is(.dsoup-region, .dsoup-label) { cursor: crosshair; }
.dsoup-frame.drawing { box-shadow: inset 0 0 0 2px var(--p-primary-color, #5b8dd6); }
.dsoup-rubber { z-index: 4; inset: auto; box-sizing: border-box; border: 1.5px dashed #fff; pointer-events: none;
  background: rgb(255 255 255 / 0.14); }
.dsoup-frame > .dsoup-handle {
  inset: auto; z-index: 6; width: 9px; height: 9px; margin: -4.5px; box-sizing: border-box; border-radius: 2px;
  background: #fff; border: 1px solid #111;
}
.dsoup-handle::before { content: ""; position: absolute; inset: -4px; }
.dsoup-handle:is([data-edges=nw], [data-edges=se]) { cursor: nwse-resize; }
.dsoup-handle:is([data-edges=ne], [data-edges=sw]) { cursor: nesw-resize; }
.dsoup-handle:is([data-edges=n], [data-edges=s]) { cursor: ns-resize; }
.dsoup-handle:is([data-edges=e], [data-edges=w]) { cursor: ew-resize; }
.dsoup-frame.drawing .dsoup-handle { display: none; }
.dsoup-empty { display: grid; place-items: center; opacity: 0.75; z-index: 2; }
.dsoup-frame > .dsoup-numbers { inset: auto 4px 4px auto; z-index: 7; padding: 1px 5px; border-radius: 3px;
  pointer-events: none; white-space: pre; font-size: 10px; font-variant-numeric: tabular-nums; background: #000c; }
.dsoup-say.dsoup-lines { display: flex; gap: 5px; align-items: flex-start; height: 42px; white-space: normal;
  line-height: 14px; }
.dsoup-lines > span { display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; }
.dsoup-lines > button { flex: none; }
.dsoup-large { width: min(96vw, 1800px); height: min(92vh, 1000px); max-width: none; max-height: none; padding: 14px;
  border: 1px solid var(--border-color, #555); border-radius: 8px; font-size: 13px; overflow: hidden;
  background: var(--comfy-menu-bg, #353535); }
.dsoup-large > .dsoup-body { position: static; }
.dsoup-regions:not(:has(.dsoup-body))::after { content: attr(data-large); position: absolute; inset: 0; display: grid;
  place-items: center; opacity: 0.6; }
.dsoup-over { position: fixed; inset: 0; z-index: 10000; display: grid; place-items: center;
  background: rgb(0 0 0 / 0.55); }
${PANEL_CSS}`;
