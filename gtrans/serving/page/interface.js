// The interface as openapi.json describes it: a form for each path, and what is answered.
import { ask, at } from "./service.js";

const LONGEST = 400;  // characters of one text in an answer, such as a picture's

function element(name, facts = {}, ...children) {
  const made = Object.assign(document.createElement(name), facts);
  made.append(...children);
  return made;
}

function field(parameter) {
  const isFlag = parameter.schema.type === "boolean";
  const input = element("input", {name: parameter.name, required: Boolean(parameter.required)});
  if (isFlag) input.type = "checkbox";
  input.dataset.place = parameter.in;
  const about = element("span", {className: "soft", textContent: parameter.description ?? ""});
  return element("label", {}, element("span", {textContent: parameter.name}), input, about);
}

function imageField(body) {
  const isMany = Boolean(body.content["multipart/form-data"]);
  const input = element("input", {type: "file", name: "image", multiple: isMany, required: true});
  input.dataset.place = "body";
  const about = isMany ? "One is sent as the body, several as a form." : "Sent as the body.";
  return element("label", {}, element("span", {textContent: "image"}), input, element("span", {className: "soft", textContent: about}));
}

function address(path, inputs) {
  const query = new URLSearchParams();
  let filled = path.slice(1);
  for (const input of inputs) {
    const value = input.type === "checkbox" ? (input.checked ? "true" : "") : input.value;
    if (input.dataset.place === "path") filled = filled.replace(`{${input.name}}`, encodeURIComponent(value));
    if (input.dataset.place === "query" && value) query.set(input.name, value);
  }
  return query.size ? `${filled}?${query}` : filled;
}

function bodyOf(files) {
  if (files.length === 1) return {body: files[0], headers: {"Content-Type": "application/octet-stream"}};
  const form = new FormData();
  for (const file of files) form.append("file", file);
  return {body: form, headers: {}};
}

const shorter = (_key, value) => typeof value === "string" && value.length > LONGEST ? `${value.slice(0, LONGEST)}... (${value.length} characters)` : value;

async function shown(answer) {
  const kind = answer.headers.get("Content-Type") ?? "";
  const head = `${answer.status} ${answer.statusText}, ${kind}\n\n`;
  if (kind.includes("json")) return head + JSON.stringify(await answer.json(), shorter, 2);
  return head + (await answer.text()).slice(0, 20_000);
}

async function send(method, path, form, output) {
  const inputs = [...form.querySelectorAll("input")], files = inputs.find(input => input.type === "file")?.files;
  const {body, headers} = files ? bodyOf(files) : {headers: {}};
  if (at("token").value) headers.Authorization = `Bearer ${at("token").value}`;
  output.hidden = false;
  output.textContent = "...";
  try {
    output.textContent = await shown(await fetch(address(path, inputs), {method, headers, body}));
  } catch (error) {
    output.textContent = `The service did not answer (${error.message}).`;
  }
}

function operation(method, path, facts) {
  const output = element("pre", {tabIndex: 0, hidden: true});
  output.setAttribute("role", "status");
  const fields = (facts.parameters ?? []).map(field);
  if (facts.requestBody) fields.push(imageField(facts.requestBody));
  const form = element("form", {}, ...fields, element("button", {textContent: "Send"}));
  form.addEventListener("submit", event => { event.preventDefault(); send(method, path, form, output); });
  const summary = element("summary", {}, element("span", {className: "method", textContent: method}), " ", element("code", {textContent: path}),
    ` ${facts.description ?? ""}`);
  return element("details", {}, summary, form, output);
}

async function start() {
  try {
    const {paths} = await (await ask("openapi.json")).json();
    at("door").hidden = true;
    at("operations").replaceChildren(...Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, facts]) => operation(method.toUpperCase(), path, facts))));
  } catch (error) {
    at("door").hidden = error.status !== 401;
    at("operations").textContent = error.message;
  }
}

at("door").addEventListener("submit", event => { event.preventDefault(); start(); });
start();
