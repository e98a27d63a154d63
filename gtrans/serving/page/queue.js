// Scores images, two at a time; each by itself, so that an error is that of one file.
import { predict } from "./service.js";

const AT_A_TIME = 2;

export class Queue {
  // `onChange(item)` is told when an item is scored or has failed.
  constructor(onChange) {
    this.onChange = onChange;
    this.clear();
  }

  clear() {
    this.abort?.abort();
    this.abort = new AbortController();
    this.waiting = [];
    this.working = 0;
  }

  add(items, category) {
    for (const item of items) Object.assign(item, {category, state: "waiting", answer: null, error: "", mark: null});
    this.waiting.push(...items);
    for (let more = AT_A_TIME - this.working; more > 0; more -= 1) this.work(this.abort.signal);
  }

  async work(signal) {
    this.working += 1;
    for (let item = this.waiting.shift(); item; item = this.waiting.shift()) {
      await this.score(item, signal);
      if (signal.aborted) return;
      this.onChange(item);
    }
    this.working -= 1;
  }

  async score(item, signal) {
    try {
      item.answer = await predict(item.category, item.file, item.name, signal);
      item.state = item.answer.is_anomalous ? "flagged" : "ok";
    } catch (error) {
      item.state = "failed";
      const said = error.status ? error.message : `the service did not answer (${error.message})`;
      item.error = said.includes(item.name) ? said : `${item.name}: ${said}`;
    }
  }
}
