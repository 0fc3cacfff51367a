/** As much of a node as an editor of ComfyUI needs, where there is no graph. */
export class StandInNode {
  /** @param {string} id @param {number} width @param {any[]} widgets each with a name and a value */
  constructor(id, width, widgets) {
    this.id = id;
    this.inputs = [];
    this.properties = {};
    this.size = [width, 0];
    this.widgets = widgets;
  }

  addDOMWidget() {
    const widget = {};
    this.widgets.push(widget);
    return widget;
  }

  computeSize() {
    return this.size;
  }

  setSize() {}

  setDirtyCanvas() {}
}
