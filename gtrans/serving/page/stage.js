// One image at large: verdict, score against the threshold, and the heat map over the image.
import { at } from "./service.js";
import { times } from "./strip.js";

const digits = number => String(Number(number.toPrecision(4)));
// Defects of the demo reach 8 times and a tenth; pictures of something else 8 to 19 times, all over.
const FAR = 10, FAR_AND_WIDE = 2, WIDE = 0.5;

let shown = "";

export function doubt(answer) {
  const ratio = answer.threshold > 0 ? answer.score / answer.threshold : 0;
  const isWide = answer.layers.area_above > WIDE && ratio > FAR_AND_WIDE;
  return ratio > FAR || isWide ? `Score ${times(answer)}${isWide ? ", and most of the picture is unusual" : ""}: is this the right category?` : "";
}

function showNumbers(answer) {
  const end = 2 * answer.threshold, tone = answer.is_anomalous ? "wrong" : "good";
  at("verdict").textContent = answer.is_anomalous ? "Flagged: it does not look like a good part" : "Ok: it looks like a good part";
  at("verdict").className = `verdict ${tone}`;
  at("numbers").textContent = `score ${digits(answer.score)}, threshold ${digits(answer.threshold)}`;
  at("doubt").textContent = doubt(answer);
  at("doubt").hidden = !at("doubt").textContent;
  at("meter").hidden = !(end > 0);
  at("fill").className = tone;
  at("fill").style.width = `${Math.max(0, Math.min(100, 100 * answer.score / end))}%`;
  at("end").textContent = `${digits(end)} or more`;
}

// The file as it is; what the network saw of it where the browser does not know the format.
function showImage(file, layers) {
  const [left, top, width, height] = layers.box.map(share => `${100 * share}%`);
  URL.revokeObjectURL(shown);
  shown = URL.createObjectURL(file);
  for (const image of [at("image"), at("under")]) {
    image.onerror = () => {
      image.onerror = null;
      image.src = `data:image/webp;base64,${layers.view_webp}`;
      Object.assign(image.style, {inset: "auto", left, top, width, height});
    };
    image.style = "";
    image.src = shown;
    image.parentElement.style.setProperty("--aspect", layers.width / layers.height);
  }
  Object.assign(at("box").style, {left, top, width, height});
}

function showLayers(layers) {
  const share = digits(100 * layers.area_above);
  at("heat").src = `data:image/webp;base64,${layers.heat_webp}`;
  at("lines").setAttribute("viewBox", `0 0 ${layers.shape[1]} ${layers.shape[0]}`);
  for (const path of at("lines").children) path.setAttribute("d", layers.contour);
  at("unusual").textContent = layers.contour ? `The line surrounds values that few good images reach: ${share} % of the image.`
    : "No value is higher than those of good images.";
  at("legend-middle").textContent = `${digits(layers.unusual)}: unusual`;
  at("legend-end").textContent = `${digits(2 * layers.unusual)} or more`;
}

function redraw() {
  at("heat").style.opacity = at("opacity").value / 100;
  at("opacity").setAttribute("aria-valuetext", `${at("opacity").value} percent`);
  at("lines").toggleAttribute("hidden", !at("contour").checked);
}

export function show(item) {
  at("stage").hidden = !item.answer;
  if (!item.answer) return;
  showNumbers(item.answer);
  showImage(item.file, item.answer.layers);
  showLayers(item.answer.layers);
  at("name").textContent = item.name;
  redraw();
}

at("opacity").addEventListener("input", redraw);
at("contour").addEventListener("change", redraw);
