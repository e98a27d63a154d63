// The trial desk: images in, verdicts out, and what people say of them.
import { listen } from "./intake.js";
import { Marks } from "./marks.js";
import { Queue } from "./queue.js";
import { at, models, report } from "./service.js";
import { show } from "./stage.js";
import { Strip } from "./strip.js";
import { save, saveTable } from "./table.js";

let served = [], remark = "";
const model = () => served.find(one => one.category === at("category").value);
const queue = new Queue(item => {
  if (item.answer) learn(item.answer);
  strip.changed(item);
  tell();
});
const marks = new Marks(item => strip.changed(item));
const strip = new Strip(item => {
  show(item);
  marks.show(item, model().takes_feedback);
  tell();
});

// A new champion may answer by now.
function learn({category, model_version, model_digest}) {
  Object.assign(served.find(one => one.category === category), {model_version, model_digest});
  showModel();
}

function tell() {
  const done = strip.items.filter(item => item.state !== "waiting").length, all = strip.items.length;
  const progress = done < all ? `Scored ${done} of ${all} ...` : "";
  at("message").textContent = [remark, progress, strip.selected?.error].filter(Boolean).join(" ");
}

function take(files, told) {
  remark = told;
  if (files.length) {
    strip.items.push(...files);
    queue.add(files, at("category").value);
    at("results").hidden = false;
  }
  strip.draw();
  if (files.length) strip.select(files[0]);
  tell();
}

function clear() {
  queue.clear();
  strip.items = [];
  strip.selected = null;
  strip.draw();
  remark = "";
  at("results").hidden = at("stage").hidden = true;
  tell();
}

// Another category judges the same images anew.
function again() {
  const items = strip.items;
  clear();
  showModel();
  for (const item of items) item.tile = null;
  if (items.length) take(items, "");
}

function showModel() {
  const {category, model_version: version, model_digest: digest} = model();
  at("model").textContent = `${version ? `version ${version}` : "unregistered folder"}, digest ${digest.slice(0, 12)}`;
  at("report").hidden = !version;
  at("report").href = `report/${encodeURIComponent(category)}`;
}

async function start() {
  try {
    served = await models();
  } catch (error) {
    at("door").hidden = error.status !== 401;
    at("message").textContent = "";
    at("desk").hidden = true;
    at("model").textContent = `${error.message}`;
    return;
  }
  at("door").hidden = true;
  at("desk").hidden = false;
  at("category").replaceChildren(...served.map(one => new Option(one.category)));
  showModel();
}

// A link cannot show the token, so the report is fetched with it and saved.
at("report").addEventListener("click", async event => {
  if (!at("token").value) return;
  event.preventDefault();
  try {
    const {category, model_version: version} = model();
    save(await report(category), `${category}-${version}-report.html`);
  } catch (error) {
    at("message").textContent = error.message;
  }
});
at("save").addEventListener("click", () => saveTable(strip.items, `${at("category").value}.csv`));
at("clear").addEventListener("click", () => { clear(); at("files").focus(); });
at("category").addEventListener("change", again);
at("door").addEventListener("submit", event => { event.preventDefault(); start(); });
listen(take);
start();
