// What a person says of the image at large; the service keeps it, with the image.
import { at, mark } from "./service.js";

export class Marks {
  // `onMarked(item)` is told when a mark was kept.
  constructor(onMarked) {
    this.onMarked = onMarked;
    this.item = null;
    at("mark-good").addEventListener("click", () => this.say("good"));
    at("marks").addEventListener("submit", event => { event.preventDefault(); this.say(at("kind").value.trim()); });
  }

  show(item, isOpen) {
    this.item = item;
    at("marks").hidden = !isOpen || !item.answer;
    this.draw("");
  }

  draw(said) {
    const marked = this.item?.mark;
    at("mark-good").setAttribute("aria-pressed", String(marked === "good"));
    at("mark-defect").setAttribute("aria-pressed", String(Boolean(marked) && marked !== "good"));
    at("marked").textContent = said;
  }

  async say(truth) {
    const item = this.item;
    this.draw("Keeping ...");
    try {
      const kept = await mark(item.answer, item.file, truth, at("who").value.trim());
      item.mark = kept.truth;
      this.onMarked(item);
      const model = kept.model_was_right ? "the model was right" : "the model was wrong";
      this.draw(kept.kept ? `Kept as ${kept.truth}: ${model}.` : `Already kept as ${kept.truth}: ${model}.`);
    } catch (error) {
      this.draw(`${item.name}: ${error.message}`);
    }
  }
}
