// What the page asks the service. The token is in the page's field and nowhere else.
const RETRIES = 60;
const pause = seconds => new Promise(done => { setTimeout(done, 1000 * seconds); });
export const at = id => document.getElementById(id);

export async function ask(path, options = {}) {
  const token = at("token").value ? {Authorization: `Bearer ${at("token").value}`} : {};
  const answer = await fetch(path, {...options, headers: {...options.headers, ...token}});
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({error: `the service answered ${answer.status}`}));
  throw Object.assign(new Error(told.error), {status: answer.status, wait: answer.headers.get("Retry-After")});
}

// Ask again while the service has too much to do.
async function send(path, file, signal) {
  const options = {method: "POST", headers: {"Content-Type": "application/octet-stream"}, body: file, signal};
  for (let tries = 0; ; tries += 1) {
    try {
      return await (await ask(path, options)).json();
    } catch (error) {
      if (error.status !== 503 || tries === RETRIES || signal?.aborted) throw error;
      await pause(Number(error.wait) || 1);
    }
  }
}

export const models = async () => (await ask("models")).json();

export const report = async category => (await ask(`report/${encodeURIComponent(category)}`)).blob();

// The end of a long name, which tells images apart, without what no terminal should obey.
const fit = name => name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?").slice(-255);

export function predict(category, file, name, signal) {
  const query = new URLSearchParams({layers: true, trial: true, name: fit(name)});
  return send(`predict/${encodeURIComponent(category)}?${query}`, file, signal);
}

export function mark(answer, file, truth, who) {
  const query = new URLSearchParams({truth, name: answer.image, model_digest: answer.model_digest, who});
  return send(`feedback/${encodeURIComponent(answer.category)}?${query}`, file);
}
