// Where images come from: file fields, a folder, a drop, the clipboard, a camera.
import { at } from "./service.js";

const IMAGE = /\.(png|jpe?g|bmp|tiff?|webp)$/i;
const MOST = 1000;

// A dropped folder is read to its end; browsers hand over a hundred entries at a time.
async function filesBelow(entry) {
  if (entry.isFile) {
    const file = await new Promise((found, failed) => { entry.file(found, failed); });
    return [{file, name: entry.fullPath.slice(1), isAlone: entry.fullPath.lastIndexOf("/") === 0}];
  }
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((read, failed) => { reader.readEntries(read, failed); });
    if (!some.length) return found;
    for (const one of some) found.push(...await filesBelow(one));
  }
}

const chosen = list => [...list].map(file =>
  ({file, name: file.webkitRelativePath || file.name, isAlone: !file.webkitRelativePath}));

// Of a folder only what looks like an image is taken; what is chosen by itself is.
function sorted(found) {
  const taken = found.filter(one => one.isAlone || IMAGE.test(one.name));
  const order = new Intl.Collator(undefined, {numeric: true});
  taken.sort((one, other) => order.compare(one.name, other.name));
  const remarks = [];
  const others = found.length - taken.length;
  if (others) remarks.push(others === 1 ? "1 file that is no image was left out." : `${others} files that are no images were left out.`);
  if (taken.length > MOST) remarks.push(`The first ${MOST} of ${taken.length} images are tried; gtrans predict takes any number.`);
  if (!taken.length && !others) remarks.push("There was no file.");
  return {files: taken.slice(0, MOST), remark: remarks.join(" ")};
}

export function listen(take) {
  const give = found => { const {files, remark} = sorted(found); take(files, remark); };
  for (const id of ["files", "folder", "camera"]) {
    at(id).addEventListener("change", event => {
      give(chosen(event.target.files));
      event.target.value = "";  // the same file may be chosen again
    });
  }
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, event => {  // beside the field too: else the browser opens the file
      event.preventDefault();
      at("drop").classList.toggle("over", kind === "dragover");
    });
  }
  document.addEventListener("drop", async event => {
    const entries = [...event.dataTransfer.items].map(item => item.webkitGetAsEntry()).filter(Boolean);
    if (!entries.length) return;
    try {
      give((await Promise.all(entries.map(filesBelow))).flat());
    } catch (error) {
      take([], `What was dropped cannot be read (${error.message}).`);
    }
  });
  document.addEventListener("paste", event => {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "");
    give(files.map((file, place) => ({file, name: `pasted-${time}-${place + 1}.${file.type.split("/")[1] || "png"}`, isAlone: true})));
  });
}
