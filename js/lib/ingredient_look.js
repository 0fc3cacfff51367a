/** How rows of the table of ingredients look, and how high they are. */

export const ROW = 40;
export const DETAILS = 98;

export const ROW_CSS = `
.dsoup-ing-row { position: relative; flex: none; border-radius: 5px; }
.dsoup-ing-line { display: flex; align-items: center; gap: 4px; height: ${ROW - 2}px; padding: 0 2px; border-radius: 5px;
  background: color-mix(in srgb, var(--component-node-widget-background, var(--comfy-input-bg, #222)) 55%, transparent);
}
.dsoup-ing-row:hover > .dsoup-ing-line, .dsoup-ing-row.pointed > .dsoup-ing-line {
  background: var(--component-node-widget-background, var(--comfy-input-bg, #222));
}
.dsoup-ing-row.held { opacity: 0.55; }
.dsoup-ing-row.before::before, .dsoup-ing-row.after::after {
  content: ""; position: absolute; left: 0; right: 0; top: -2px; height: 3px; border-radius: 2px; z-index: 2;
  background: var(--p-primary-color, #5b8dd6);
}
.dsoup-ing-row.after::after { top: auto; bottom: -1px; }
.dsoup-ing-grip { flex: none; width: 12px; align-self: stretch; display: flex; align-items: center; cursor: grab;
  touch-action: none; opacity: 0.55; }
.dsoup-ing-grip:hover { opacity: 1; }
.dsoup-ing-grip svg { width: 16px; height: 16px; margin: 0 -2px; stroke-width: 2; fill: none; stroke: currentColor;
  stroke-linecap: round; }
.dsoup-ing-row.foreign .dsoup-ing-grip { visibility: hidden; }
.dsoup-ing-chip { flex: none; min-width: 17px; height: 17px; border-radius: 4px; text-align: center; font-size: 10px;
  font-weight: 700; line-height: 17px; color: #111; background: var(--dsoup-colour); }
.dsoup-ing-main { flex: 1 1 0; min-width: 0; display: flex; flex-direction: column; gap: 3px; }
.dsoup-ing-top { display: flex; align-items: center; gap: 4px; min-width: 0; height: 16px; }
.dsoup .dsoup-ing-name { flex: 0 1 auto; min-width: 0; height: 16px; padding: 0 2px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; text-align: left; font-size: 12px; line-height: 16px; background: none; }
.dsoup-ing-name:hover { text-decoration: underline; }
.dsoup-ing-name i { font-style: normal; opacity: 0.55; }
.dsoup-ing-mark { flex: none; padding: 0 4px; border-radius: 3px; font-size: 9px; line-height: 13px; opacity: 0.85;
  box-shadow: inset 0 0 0 1px color-mix(in srgb, currentColor 40%, transparent); }
.dsoup .dsoup-ing-badge { flex: none; display: flex; align-items: center; gap: 3px; height: 16px; margin-left: auto; padding: 0 6px 0 3px;
  border-radius: 8px; font-size: 10px; line-height: 16px; font-variant-numeric: tabular-nums; white-space: nowrap; color: inherit;
  background: color-mix(in srgb, var(--dsoup-verdict, gray) 32%, transparent); }
.dsoup-ing-badge svg { width: 12px; height: 12px; fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round;
  stroke-linejoin: round; }
.dsoup-ing-badge.fits { --dsoup-verdict: #2f9e78; }
.dsoup-ing-badge.far { --dsoup-verdict: #e69f00; }
.dsoup-ing-badge.stranger, .dsoup-ing-badge.unfit, .dsoup-ing-badge.broken { --dsoup-verdict: #d55e00; font-weight: 600; }
.dsoup-ing-bottom { display: flex; align-items: center; gap: 6px; min-width: 0; height: 12px; }
.dsoup-ing-share { position: relative; flex: 0 0 40%; min-width: 40px; height: 12px; cursor: ew-resize; touch-action: none; }
.dsoup-ing-share::before { content: ""; position: absolute; inset: 3px 0; border-radius: 3px;
  background: color-mix(in srgb, var(--input-text, #ddd) 16%, transparent); }
.dsoup-ing-share > i { position: absolute; top: 3px; bottom: 3px; border-radius: 3px; background: var(--dsoup-colour); }
.dsoup-ing-share > u { position: absolute; top: 0; bottom: 0; width: 4px; margin-left: -2px; border-radius: 2px;
  background: var(--input-text, #ddd); }
.dsoup-ing-share.fixed { cursor: default; }
.dsoup-ing-share.fixed > u { visibility: hidden; }
.dsoup-ing-share:focus-visible { outline: 2px solid var(--p-primary-color, #5b8dd6); outline-offset: 1px; border-radius: 3px; }
.dsoup-ing-facts { flex: 1 1 0; min-width: 0; text-align: right; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 10px;
  line-height: 12px; opacity: 0.7; }
.dsoup-ing-facts.wrong { opacity: 1; color: #f2b04a; }
.dsoup .dsoup-ing-number { flex: none; width: 52px; height: 24px; padding: 0 5px; text-align: right; font-size: 12px;
  font-variant-numeric: tabular-nums; }
.dsoup-ing-acts { flex: none; display: grid; grid-template-columns: repeat(4, 20px); gap: 1px; }
.dsoup .dsoup-ing-acts button { width: 20px; height: 20px; padding: 0; background: none; opacity: 0.7; }
.dsoup .dsoup-ing-acts button:hover, .dsoup .dsoup-ing-acts button[aria-pressed=true] { opacity: 1; }
.dsoup .dsoup-ing-acts button[aria-pressed=true] {
  background: color-mix(in srgb, var(--p-primary-color, #5b8dd6) 60%, var(--comfy-input-bg, #222)); }
.dsoup-ing-acts svg { display: block; width: 14px; height: 14px; margin: auto; fill: none; stroke: currentColor;
  stroke-width: 1.3; stroke-linejoin: round; stroke-linecap: round; }
.dsoup-ing-row.muted .dsoup-ing-main, .dsoup-ing-row.muted .dsoup-ing-chip, .dsoup-ing-row.muted .dsoup-ing-number { opacity: 0.45; }
.dsoup-ing-row.muted .dsoup-ing-name { text-decoration: line-through; }
.dsoup-ing-row.foreign .dsoup-ing-acts { visibility: hidden; }
.dsoup-ing-details { box-sizing: border-box; height: ${DETAILS}px; padding: 4px 8px 6px 35px; display: flex;
  flex-direction: column; gap: 3px; font-size: 10px; overflow: hidden; user-select: text; cursor: default; }
.dsoup-ing-details p { flex: none; margin: 0; max-height: 28px; line-height: 14px; overflow: hidden; }
.dsoup-ing-details .dsoup-ing-hash { display: flex; align-items: center; gap: 6px; height: 18px; margin-top: auto; }
.dsoup-ing-details code { flex: 0 1 auto; min-width: 0; min-height: 14px; line-height: 14px; opacity: 0.8; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 10px; }
.dsoup .dsoup-ing-hash button { height: 18px; font-size: 10px; flex: none; }
.dsoup-ing-heat { display: flex; flex: none; align-items: flex-end; gap: 1px; height: 22px;
  box-shadow: 0 1px color-mix(in srgb, var(--input-text, #ddd) 30%, transparent); }
.dsoup-ing-heat > span { flex: 1; min-width: 2px; max-width: 14px; border-radius: 1px 1px 0 0; background: var(--dsoup-colour); }
@container (max-width: 370px) {
  .dsoup-ing-acts { grid-template-columns: repeat(2, 18px); }
  .dsoup .dsoup-ing-acts button { width: 18px; height: 18px; }
}
@container (max-width: 300px) {
  .dsoup-ing-facts, .dsoup-ing-mark { display: none; }
  .dsoup-ing-share { flex: 1 1 0; }
  .dsoup .dsoup-ing-number { width: 44px; }
}
`;
