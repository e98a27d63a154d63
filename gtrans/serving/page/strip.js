// The strip of results: a thumbnail each, filtered, and moved through with the arrow keys.
import { at } from "./service.js";

const SAID = {flagged: "flagged", ok: "ok", failed: "failed", waiting: "waits"};
const TONE = {flagged: "wrong", ok: "good", failed: "wrong", waiting: "soft"};
const STEPS = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1};

export const times = answer => answer.threshold > 0
  ? `${Number((answer.score / answer.threshold).toPrecision(3))} × threshold` : `score ${Number(answer.score.toPrecision(4))}`;

const element = (name, text, className) => Object.assign(document.createElement(name), {textContent: text, className});

export class Strip {
  constructor(onSelect) {
    this.onSelect = onSelect;
    this.items = [];
    this.selected = null;
    for (const control of [at("filter"), at("worst-first")]) control.addEventListener("change", () => this.draw());
    at("strip").addEventListener("keydown", event => this.step(event));
  }

  isWanted(item) {
    const wanted = document.querySelector("input[name=filter]:checked").value;
    return wanted === "all" || item.state === wanted;
  }

  shown() {
    const shown = this.items.filter(item => this.isWanted(item));
    const excess = item => item.answer ? item.answer.score - item.answer.threshold : -Infinity;
    return at("worst-first").checked ? shown.sort((one, other) => excess(other) - excess(one)) : shown;
  }

  // All tiles anew; the one that has the focus keeps it.
  draw() {
    const shown = this.shown(), focus = document.activeElement;
    for (const item of shown) item.tile ??= this.tile(item);
    at("strip").replaceChildren(...shown.map(item => item.tile));
    if (at("strip").contains(focus)) focus.focus();
    this.count();
    if (shown.length && !shown.includes(this.selected)) this.select(shown.find(item => item.state !== "waiting"));
  }

  count() {
    for (const state of ["all", "flagged", "ok", "failed"]) {
      at(`count-${state}`).textContent = this.items.filter(item => state === "all" || item.state === state).length;
    }
  }

  // One item is scored, failed or marked by now.
  changed(item) {
    this.fill(item);
    if (this.isWanted(item) && item.tile.isConnected && !at("worst-first").checked) this.count();
    else this.draw();
    if (item === this.selected || !this.selected) this.select(item);
  }

  tile(item) {
    const button = element("button", "", "");
    button.type = "button";
    button.addEventListener("click", () => this.select(item));
    item.tile = document.createElement("li");
    item.tile.append(button);
    this.fill(item);
    return item.tile;
  }

  fill(item) {
    const button = item.tile.firstChild, holder = element("div", "", "thumb");
    if (item.answer) {
      const {view_webp: view, width, height} = item.answer.layers;
      const picture = Object.assign(new Image(), {alt: "", src: `data:image/webp;base64,${view}`});
      picture.style.setProperty("--aspect", width / height);
      holder.append(picture);
    }
    button.title = item.error || item.name;
    button.setAttribute("aria-current", String(item === this.selected));
    button.replaceChildren(holder, element("span", SAID[item.state], `said ${TONE[item.state]}`), element("span", item.name, ""),
      element("span", item.answer ? times(item.answer) : "", "soft"));
    if (item.mark) button.append(element("span", `marked: ${item.mark}`, "mark"));
  }

  select(item) {
    if (!item) return;
    this.selected?.tile?.firstChild.setAttribute("aria-current", "false");
    this.selected = item;
    item.tile?.firstChild.setAttribute("aria-current", "true");
    this.onSelect(item);
  }

  step(event) {
    const shown = this.shown(), here = shown.findIndex(item => item.tile.contains(document.activeElement));
    const ends = {Home: 0, End: shown.length - 1};
    const next = shown[ends[event.key] ?? here + (STEPS[event.key] ?? NaN)];
    if (!next || here < 0) return;
    event.preventDefault();
    next.tile.firstChild.focus();
    this.select(next);
  }
}
