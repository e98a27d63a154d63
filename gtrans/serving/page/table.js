// The results as CSV, in the columns of `gtrans predict --out`, with what people said.
const COLUMNS = ["path", "score", "is_anomalous", "threshold", "category", "model_version", "model_digest", "truth", "error"];

const cell = value => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;

function row(item) {
  const values = {...item.answer, path: item.name, category: item.category, truth: item.mark, error: item.error};
  return COLUMNS.map(column => cell(String(values[column] ?? ""))).join(",");
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
