// Moves the threshold over the histogram and counts anew. Without it the report is complete too.
(() => {
  const at = id => document.getElementById(id);
  const { low, high, log, threshold, rows } = JSON.parse(at("scores").textContent);
  const slider = at("threshold"), back = at("threshold-back"), home = slider.value;
  const tool = at("threshold-tool");
  const lines = tool.querySelectorAll(".axis > i"), flagged = tool.querySelectorAll(".flagged");
  const digits = value => String(Number(value.toPrecision(4)));
  const say = (id, text) => { if (at(id)) at(id).textContent = text; };  // what was not tested has no row
  const counted = (count, one, more) => `${count} ${count === 1 ? one : more}`;

  const scoreAt = share => log ? low * (high / low) ** share : low + share * (high - low);

  function show() {
    const inUse = slider.value === home, share = slider.value / slider.max;
    const now = inUse ? threshold : scoreAt(share);
    const total = { true: [0, 0], false: [0, 0] };
    rows.forEach((row, i) => {
      const above = row.scores.filter(score => score > now).length;
      flagged[i].textContent = above;
      if (!row.tested) return;
      total[row.good][0] += above;
      total[row.good][1] += row.scores.length - above;
    });
    lines.forEach(line => { line.style.left = `${100 * share}%`; });
    at("threshold-now").textContent = digits(now);
    at("threshold-is").textContent = inUse ? "(in use)"
      : now < threshold ? "(lower: breaks the promise of false alarms)" : "(higher: keeps the promise of false alarms)";
    slider.setAttribute("aria-valuetext", `threshold ${digits(now)}`);
    back.disabled = inUse;
    say("caught", `${total.false[0]} caught`);
    say("missed", `${total.false[1]} missed`);
    say("false-alarms", counted(total.true[0], "false alarm", "false alarms"));
    say("passed", `${total.true[1]} right`);
  }

  slider.addEventListener("input", show);
  back.addEventListener("click", () => { slider.value = home; show(); slider.focus(); });
  tool.querySelector(".slider").hidden = false;
  back.hidden = false;
  at("other-thresholds").hidden = true;
  show();
})();
