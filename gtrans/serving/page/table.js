// The results as CSV, in the columns of `gtrans predict --out`, with what people said.
const COLUMNS = ["path", "score", "is_anomalous", "threshold", "category", "model_version", "model_digest", "truth", "error"];

// A spreadsheet computes what begins like a formula, unless an apostrophe is before it.
const plain = text => text.replace(/^(?=[=+\-@\t\r])/, "'");
const quoted = text => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
const cell = value => quoted(typeof value === "string" ? plain(value) : String(value ?? ""));

function row(item) {
  const values = {...item.answer, path: item.name, category: item.category, truth: item.mark, error: item.error};
  return COLUMNS.map(column => cell(values[column])).join(",");
}

export function save(data, name) {
  const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(data), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function saveTable(items, name) {
  const lines = [COLUMNS.join(","), ...items.map(row)];
  save(new Blob([lines.join("\r\n"), "\r\n"], {type: "text/csv"}), name);
}
