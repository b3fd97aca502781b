"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { text, width, height } = data;
  const NULL_32 = -(2 ** 31), NULL_16 = -(2 ** 15);
  const PANELS = ["reference", "restored", "difference", "map"];
  const SCALE_MAX = 48;
  const byId = (id) => document.getElementById(id);
  const state = {
    view: 0, patch: data.patch, row: null, col: null, pinned: false, rank: 0,
    palette: "published", outlineAll: false, limit: data.difference_limit,
    scale: 1, left: 0, top: 0,
  };
  let panel = { width: 1, height: 1 };
  let drawRequested = false;

  // ---- data -------------------------------------------------------------------------

  function unpack(base64, Type) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return Type === Uint8Array ? bytes : new Type(bytes.buffer);
  }

  function once(make) {
    const kept = new Map();
    return (...key) => {
      const name = key.join(" ");
      if (!kept.has(name)) kept.set(name, make(...key));
      return kept.get(name);
    };
  }

  const getMap = once((view, patch) => {
    const packed = data.views[view].maps[patch];
    return { rows: packed.rows, cols: packed.cols, ssim: unpack(packed.ssim, Int32Array), terms: unpack(packed.terms, Int16Array) };
  });
  const getDirections = once((view) => {
    const packed = data.views[view].directions;
    return packed && unpack(packed, Int16Array);
  });
  const getColours = once((name) => unpack(name === "difference" ? data.difference_colours : data.palettes[name].colours, Uint8Array));
  // Bounds are compared in millionths, as the published file writes them.
  const bounds = data.classes.map((item) => (item.low === null ? -Infinity : Math.round(item.low * 1e6)));
  const classify = (ssim) => (ssim === NULL_32 ? -1 : bounds.findIndex((bound) => ssim >= bound));

  const countClasses = once((view, patch) => {
    const counts = data.classes.map(() => 0);
    for (const ssim of getMap(view, patch).ssim) if (ssim !== NULL_32) counts[classify(ssim)] += 1;
    return counts;
  });

  const rankPatches = once((view, patch) => {
    const { ssim } = getMap(view, patch);
    const measured = [...ssim.keys()].filter((at) => ssim[at] !== NULL_32);
    return measured.sort((one, other) => ssim[one] - ssim[other] || one - other);
  });

  const traceOutline = once((view, patch) => {
    const { rows, cols, ssim } = getMap(view, patch);
    const path = new Path2D();
    const isIn = (row, col) => row >= 0 && col >= 0 && row < rows && col < cols && classify(ssim[row * cols + col]) === data.outlined;
    const line = (row, col, endRow, endCol) => {
      path.moveTo(col * patch, row * patch);
      path.lineTo(endCol * patch, endRow * patch);
    };
    for (let row = 0; row <= rows; row += 1) {
      for (let col = 0; col <= cols; col += 1) {
        if (isIn(row, col) !== isIn(row - 1, col)) line(row, col, row, col + 1);
        if (isIn(row, col) !== isIn(row, col - 1)) line(row, col, row + 1, col);
      }
    }
    return path;
  });

  const spreadOf = once((component) => {
    const size = Math.ceil(height / 8) * Math.ceil(width / 8);
    const values = [];
    data.views.forEach((_, view) => {
      const packed = getDirections(view);
      if (packed) for (let at = component * size; at < (component + 1) * size; at += 1) if (packed[at] !== NULL_16) values.push(Math.abs(packed[at]));
    });
    const sorted = Int32Array.from(values).sort();
    return sorted.length ? Math.max(1, sorted[Math.floor(0.995 * (sorted.length - 1))]) : 1;
  });

  // ---- pictures ---------------------------------------------------------------------

  function makeCanvas(cols, rows) {
    const canvas = document.createElement("canvas");
    canvas.width = cols;
    canvas.height = rows;
    return canvas;
  }

  async function decode(uri) {
    const image = new Image();
    image.src = uri;
    await image.decode();
    const canvas = makeCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, width, height).data;
    const grey = new Uint8Array(width * height);
    for (let at = 0; at < grey.length; at += 1) grey[at] = pixels[4 * at];
    return { canvas, grey };
  }

  const getReference = once(() => decode(data.reference));
  const getRestored = once((view) => decode(data.views[view].image));

  function paint(cols, rows, colourAt) {
    const canvas = makeCanvas(cols, rows);
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(cols, rows);
    for (let at = 0; at < cols * rows; at += 1) {
      const [table, start] = colourAt(at);
      pixels.data[4 * at] = table[start];
      pixels.data[4 * at + 1] = table[start + 1];
      pixels.data[4 * at + 2] = table[start + 2];
      pixels.data[4 * at + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  const getDifference = once(async (view, limit) => {
    const [reference, restored] = await Promise.all([getReference(), getRestored(view)]);
    const table = getColours("difference");
    const middle = (table.length / 3 - 1) / 2;
    return paint(width, height, (at) => {
      const share = (restored.grey[at] - reference.grey[at]) / limit;
      return [table, 3 * Math.round(middle * (1 + Math.max(-1, Math.min(1, share))))];
    });
  });

  const getMapCanvas = once((view, patch, palette) => {
    const { rows, cols, ssim } = getMap(view, patch);
    const table = getColours(palette);
    const last = table.length / 3 - 1;
    return paint(cols, rows, (at) => {
      if (ssim[at] === NULL_32) return [data.null_colour, 0];
      return [table, 3 * Math.round((last * Math.max(0, Math.min(1e6, ssim[at]))) / 1e6)];
    });
  });

  let shown = null;

  async function loadShown() {
    const { view, limit } = state;
    const [reference, restored, difference] = await Promise.all([getReference(), getRestored(view), getDifference(view, limit)]);
    if (view === state.view && limit === state.limit) {
      shown = { reference, restored, difference };
      render();
    }
  }

  function pictureOf(name) {
    if (name === "map") return getMapCanvas(state.view, state.patch, state.palette);
    return name === "difference" ? shown.difference : shown[name].canvas;
  }

  // ---- panels -----------------------------------------------------------------------

  const stage = byId("stage");
  const panels = PANELS.map((name) => {
    const figure = stage.appendChild(document.createElement("figure"));
    const caption = figure.appendChild(document.createElement("figcaption"));
    const canvas = figure.appendChild(document.createElement("canvas"));
    canvas.setAttribute("role", "img");
    return { name, figure, caption, canvas };
  });

  function layOut() {
    const gap = 10, captionHeight = 22, inset = 12;
    const space = { width: stage.clientWidth - 2 * inset, height: stage.clientHeight - 2 * inset };
    const options = [4, 2, 1].map((cols) => {
      const rows = 4 / cols;
      const most = { width: (space.width - gap * (cols - 1)) / cols, height: (space.height - gap * (rows - 1)) / rows - captionHeight };
      return { cols, ...most, scale: Math.min(most.width / width, most.height / height) };
    });
    const best = options.reduce((one, other) => (other.scale > one.scale ? other : one));
    panel = { width: Math.max(40, Math.floor(best.width)), height: Math.max(40, Math.floor(best.height)) };
    const ratio = window.devicePixelRatio || 1;
    panels.forEach(({ figure, canvas }, number) => {
      figure.style.left = `${inset + (number % best.cols) * (panel.width + gap)}px`;
      figure.style.top = `${inset + Math.floor(number / best.cols) * (panel.height + captionHeight + gap)}px`;
      figure.style.width = canvas.style.width = `${panel.width}px`;
      canvas.style.height = `${panel.height}px`;
      canvas.width = Math.round(panel.width * ratio);
      canvas.height = Math.round(panel.height * ratio);
    });
  }

  const fitScale = () => Math.min(panel.width / width, panel.height / height);

  function fit() {
    state.scale = fitScale();
    keepInside();
    render();
  }

  function keepInside() {
    for (const [side, size, space] of [["left", width, panel.width], ["top", height, panel.height]]) {
      const seen = space / state.scale;
      state[side] = seen >= size ? (size - seen) / 2 : Math.max(0, Math.min(size - seen, state[side]));
    }
  }

  function zoomBy(factor, x = panel.width / 2, y = panel.height / 2) {
    const scale = Math.max(fitScale(), Math.min(SCALE_MAX, state.scale * factor));
    state.left += x / state.scale - x / scale;
    state.top += y / state.scale - y / scale;
    state.scale = scale;
    keepInside();
    render();
  }

  function zoomAtCursor(factor) {
    if (state.row === null) return zoomBy(factor);
    const middle = (index, side, space) => Math.max(0, Math.min(space, ((index + 0.5) * state.patch - side) * state.scale));
    return zoomBy(factor, middle(state.col, state.left, panel.width), middle(state.row, state.top, panel.height));
  }

  function strokeTwice(context, widthPx, draw) {
    for (const [colour, extra] of [["#000", 2], ["#fff", 0]]) {
      context.strokeStyle = colour;
      context.lineWidth = widthPx + extra;
      draw();
    }
  }

  function drawPanel({ name, canvas }) {
    const context = canvas.getContext("2d");
    const ratio = canvas.width / panel.width;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const scale = state.scale * ratio;
    context.setTransform(scale, 0, 0, scale, -state.left * scale, -state.top * scale);
    context.save();
    context.beginPath();
    context.rect(0, 0, width, height);
    context.clip();
    context.imageSmoothingEnabled = name !== "map" && scale < 1;
    context.imageSmoothingQuality = "high";
    const picture = pictureOf(name);
    const side = name === "map" ? state.patch : 1;
    context.drawImage(picture, 0, 0, picture.width * side, picture.height * side);
    if (name === "map" || state.outlineAll) {
      context.strokeStyle = "#f00";
      context.lineWidth = 1.5 / state.scale;
      context.stroke(traceOutline(state.view, state.patch));
    }
    context.restore();
    if (state.row !== null) drawCursor(context, ratio);
  }

  function drawCursor(context, ratio) {
    const { patch, scale, row, col } = state;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const x = (col * patch - state.left) * scale, y = (row * patch - state.top) * scale;
    const side = patch * scale, gap = Math.max(6, 12 - side / 2);
    strokeTwice(context, 1.5, () => context.strokeRect(x - 1, y - 1, side + 2, side + 2));
    const across = Math.round(y + side / 2), down = Math.round(x + side / 2);
    for (const [colour, shift] of [["rgba(255,255,255,0.7)", 0], ["rgba(0,0,0,0.5)", 1]]) {
      context.fillStyle = colour;
      context.fillRect(0, across + shift, x - gap, 1);
      context.fillRect(x + side + gap, across + shift, panel.width, 1);
      context.fillRect(down + shift, 0, 1, y - gap);
      context.fillRect(down + shift, y + side + gap, 1, panel.height);
    }
  }

  // ---- what is written --------------------------------------------------------------

  const spell = (value, digits, sign = false) => {
    const spelled = Math.abs(value).toFixed(digits);
    const prefix = value < 0 && Number(spelled) !== 0 ? "\u2212" : sign && Number(spelled) !== 0 ? "+" : "";
    return prefix + spelled;
  };

  function fillElement(element, ...children) {
    element.replaceChildren(...children);
    return element;
  }

  function make(tag, content = "", className = "") {
    const element = document.createElement(tag);
    element.textContent = content;
    if (className) element.className = className;
    return element;
  }

  function makeSwatch(number) {
    const swatch = make("span", "", number === data.outlined ? "swatch outlined" : "swatch");
    swatch.style.background = number < 0 ? `rgb(${data.null_colour})` : data.palettes[state.palette].classes[number];
    return swatch;
  }

  const className = (number) => (number < 0 ? text.null : data.classes[number].name);

  function pixelSpan() {
    const top = state.row * state.patch, left = state.col * state.patch;
    return { top, left, bottom: Math.min(height, top + state.patch), right: Math.min(width, left + state.patch) };
  }

  function meanGrey(grey) {
    const { top, left, bottom, right } = pixelSpan();
    let total = 0;
    for (let y = top; y < bottom; y += 1) for (let x = left; x < right; x += 1) total += grey[y * width + x];
    return total / ((bottom - top) * (right - left));
  }

  function poolDirections(component) {
    const packed = getDirections(state.view);
    const cols = Math.ceil(width / 8), size = cols * Math.ceil(height / 8);
    const { top, left, bottom, right } = pixelSpan();
    let total = 0, count = 0;
    for (let row = top / 8; row < bottom / 8; row += 1) {
      for (let col = left / 8; col < right / 8; col += 1) {
        const value = packed[component * size + row * cols + col];
        if (value !== NULL_16) [total, count] = [total + value, count + 1];
      }
    }
    return count ? total / count : null;
  }

  function writeReadout() {
    const has = state.row !== null;
    byId("readout").classList.toggle("pinned", state.pinned && has);
    const map = getMap(state.view, state.patch);
    const at = has ? state.row * map.cols + state.col : 0;
    const ssim = has ? map.ssim[at] : NULL_32;
    const { top, left, bottom, right } = has ? pixelSpan() : {};
    byId("place").textContent = has ? `${text.row} ${state.row}   ${text.column} ${state.col}` : "\u2013";
    byId("pixels").textContent = has ? `${text.pixels}: ${text.row} ${top}\u2013${bottom - 1}, ${text.column} ${left}\u2013${right - 1}` : text.hint;
    byId("score").textContent = ssim === NULL_32 ? "\u2013" : spell(ssim / 1e6, 6);
    fillElement(byId("class"), ...(has ? [makeSwatch(classify(ssim)), make("span", className(classify(ssim)))] : []));
    const size = map.rows * map.cols;
    const terms = ["l luminance", "c contrast", "s structure"].flatMap((term, number) => {
      const [letter, name] = term.split(" ");
      const value = has ? map.terms[number * size + at] : NULL_16;
      return [make("dt", letter), make("dd", text[name]), make("dd", value === NULL_16 ? "\u2013" : spell(value / 1e4, 4), "number")];
    });
    const greys = has && shown ? `${spell(meanGrey(shown.reference.grey), 1)} \u2192 ${spell(meanGrey(shown.restored.grey), 1)}` : "\u2013";
    fillElement(byId("terms"), ...terms, make("dt"), make("dd", text.grey_values), make("dd", greys, "number"));
    for (const [number, item] of [...byId("legend").children].entries()) item.classList.toggle("here", has && number === classify(ssim));
    writeDirections(has);
  }

  function writeDirections(has) {
    const known = data.views[state.view].directions !== null;
    const blocks = (state.patch / 8) ** 2;
    byId("pooled").textContent = !known ? text.directions_none : blocks === 1 ? text.directions_one : text.directions_mean.replace("{count}", blocks);
    const rows = !known ? [] : data.components.flatMap((component, number) => {
      const packed = has ? poolDirections(number) : null;
      const bar = make("span", "", "bar");
      if (packed !== null) {
        const share = Math.min(1, Math.abs(packed) / spreadOf(number)) * 50;
        const fill = bar.appendChild(make("i", "", packed < 0 ? "minus" : ""));
        fill.style.width = `${share}%`;
        fill.style.left = `${packed < 0 ? 50 - share : 50}%`;
        bar.title = packed < 0 ? component.negative : component.positive;
      }
      const digits = Math.round(-Math.log10(component.step));
      const value = packed === null ? "\u2013" : spell(packed * component.step, digits, true);
      const label = make("span", component.label);
      label.title = `+ ${component.positive}; \u2212 ${component.negative}`;
      return [label, bar, make("span", `${value} ${component.unit}`, "value")];
    });
    fillElement(byId("directions"), ...rows);
  }

  function writeLegend() {
    const counts = countClasses(state.view, state.patch);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const shares = counts.map((count, number) => {
      const piece = make("span");
      piece.style.width = `${(100 * count) / total}%`;
      piece.style.background = data.palettes[state.palette].classes[number];
      return piece;
    });
    fillElement(byId("shares"), ...shares);
    const items = counts.map((count, number) => {
      const low = data.classes[number].low;
      const item = document.createElement("li");
      item.title = count.toLocaleString("en");
      item.append(makeSwatch(number), make("span", data.classes[number].name), make("span", low === null ? "< 0.70" : `\u2265 ${low.toFixed(2)}`), make("span", `${((100 * count) / total).toFixed(2)} %`));
      return item;
    });
    fillElement(byId("legend"), ...items);
    drawScale(byId("scale"), getColours(state.palette), data.stops.map((stop) => [stop, stop === 0.95 ? "" : String(stop)]), text.local_ssim);
    const { limit } = state;
    const ticks = [-1, -0.5, 0, 0.5, 1].map((end) => [(end + 1) / 2, spell(limit * end, limit % 2 && end % 1 ? 1 : 0, true)]);
    drawScale(byId("difference-scale"), getColours("difference"), ticks, "dn");
  }

  function drawScale(canvas, table, ticks, name) {
    const ratio = window.devicePixelRatio || 1, long = 306, inset = 12;
    canvas.width = long * ratio;
    canvas.height = 34 * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const last = table.length / 3 - 1;
    for (let x = 0; x < long - 2 * inset; x += 0.5) {
      const start = 3 * Math.round((last * x) / (long - 2 * inset));
      context.fillStyle = `rgb(${table[start]},${table[start + 1]},${table[start + 2]})`;
      context.fillRect(inset + x, 4, 1, 9);
    }
    context.font = "11px Arial, sans-serif";
    context.textAlign = "center";
    context.fillStyle = "#e8eaee";
    for (const [share, label] of ticks) {
      const x = inset + share * (long - 2 * inset);
      context.fillRect(x - 0.5, 4, 1, 12);
      context.fillText(label, x, 27);
    }
    context.fillStyle = "#a4abb8";
    context.fillText(name, inset + (name === "dn" ? 0.125 : 0.35) * (long - 2 * inset), 27);
  }

  function drawLoupe() {
    const canvas = byId("loupe");
    const ratio = window.devicePixelRatio || 1, long = 306, side = 72;
    canvas.width = long * ratio;
    canvas.height = 88 * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.fillStyle = "#a4abb8";
    context.font = "10px Arial, 'Noto Sans CJK JP', sans-serif";
    PANELS.forEach((name, number) => {
      const left = number * 78;
      context.fillStyle = "#a4abb8";
      context.fillText(text[name], left, 84);
      context.fillStyle = "#000";
      context.fillRect(left, 0, side, side);
      if (state.row === null || !shown) return;
      // Three patches wide, so that a patch is seen with its surroundings.
      const zoom = side / (3 * state.patch);
      context.save();
      context.beginPath();
      context.rect(left, 0, side, side);
      context.clip();
      context.imageSmoothingEnabled = name !== "map" && zoom * ratio < 1;
      const picture = pictureOf(name);
      const unit = (name === "map" ? state.patch : 1) * zoom;
      context.drawImage(picture, left - (state.col - 1) * state.patch * zoom, -(state.row - 1) * state.patch * zoom, picture.width * unit, picture.height * unit);
      strokeTwice(context, 1, () => context.strokeRect(left + side / 3, side / 3, side / 3, side / 3));
      context.restore();
    });
  }

  function writeCaptions() {
    const view = data.views[state.view];
    const notes = {
      reference: "",
      restored: `${view.label}, ${view.path_name}`,
      difference: text.difference_unit.replace("dn", `\u00b1${state.limit} dn`),
      map: `${state.patch} \u00d7 ${state.patch} px`,
    };
    for (const { name, caption, canvas } of panels) {
      fillElement(caption, make("b", text[name]), ` ${notes[name]}`);
      canvas.setAttribute("aria-label", `${text[name]} ${notes[name]}`);
    }
  }

  function draw() {
    drawRequested = false;
    if (!shown) return;
    panels.forEach(drawPanel);
    writeReadout();
    drawLoupe();
    byId("zoom").textContent = `${spell(100 * state.scale, 0)} %`;
    byId("rank").textContent = state.rank ? `#${state.rank}` : "\u2013";
  }

  function render() {
    if (drawRequested) return;
    drawRequested = true;
    requestAnimationFrame(draw);
  }

  function refresh() {
    byId("model").value = data.views[state.view].model_id;
    const paths = data.views.filter((view) => view.model_id === byId("model").value).map((view) => view.path);
    for (const input of document.querySelectorAll("#paths input")) {
      input.disabled = !paths.includes(input.value);
      input.checked = input.value === data.views[state.view].path;
    }
    for (const input of document.querySelectorAll("#patches input")) input.checked = Number(input.value) === state.patch;
    byId("limit").value = state.limit;
    writeCaptions();
    writeLegend();
    loadShown();
    render();
  }

  // ---- what can be done -------------------------------------------------------------

  function setView(modelId, path) {
    const options = data.views.map((_, number) => number).filter((number) => data.views[number].model_id === modelId);
    const match = options.find((number) => data.views[number].path === path);
    state.view = match === undefined ? options[0] : match;
    state.rank = 0;
    refresh();
  }

  function setPatch(patch) {
    if (!data.patches.includes(patch) || patch === state.patch) return;
    if (state.row !== null) {
      const move = (index) => Math.floor(((index + 0.5) * state.patch) / patch);
      [state.row, state.col] = [move(state.row), move(state.col)];
    }
    state.patch = patch;
    state.rank = 0;
    clampCursor();
    refresh();
  }

  function clampCursor() {
    if (state.row === null) return;
    state.row = Math.max(0, Math.min(Math.ceil(height / state.patch) - 1, state.row));
    state.col = Math.max(0, Math.min(Math.ceil(width / state.patch) - 1, state.col));
  }

  function setCursor(row, col) {
    [state.row, state.col] = [row, col];
    clampCursor();
    render();
  }

  function showCursor() {
    for (const [index, side, space] of [[state.col, "left", panel.width], [state.row, "top", panel.height]]) {
      const start = index * state.patch, seen = space / state.scale;
      if (start < state[side] || start + state.patch > state[side] + seen) state[side] = start + state.patch / 2 - seen / 2;
    }
    keepInside();
  }

  function speak() {
    const map = getMap(state.view, state.patch);
    const ssim = map.ssim[state.row * map.cols + state.col];
    const value = ssim === NULL_32 ? "" : `SSIM ${(ssim / 1e6).toFixed(4)}, `;
    byId("spoken").textContent = `${text.row} ${state.row}, ${text.column} ${state.col}: ${value}${className(classify(ssim))}`;
  }

  function moveCursor(rows, cols) {
    if (state.row === null) setCursor(Math.floor((state.top + panel.height / state.scale / 2) / state.patch), Math.floor((state.left + panel.width / state.scale / 2) / state.patch));
    else setCursor(state.row + rows, state.col + cols);
    state.rank = 0;
    showCursor();
    speak();
  }

  function goToRank(rank) {
    const ranked = rankPatches(state.view, state.patch);
    state.rank = Math.max(1, Math.min(ranked.length, rank));
    const { cols } = getMap(state.view, state.patch);
    const at = ranked[state.rank - 1];
    setCursor(Math.floor(at / cols), at % cols);
    state.pinned = true;
    showCursor();
    speak();
  }

  function setPinned(pinned) {
    state.pinned = pinned && state.row !== null;
    render();
  }

  function placeOf(event) {
    const { canvas } = panels.find(({ figure }) => figure.contains(event.target)) || {};
    if (!canvas || event.target !== canvas) return null;
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const col = Math.floor((x / state.scale + state.left) / state.patch), row = Math.floor((y / state.scale + state.top) / state.patch);
    const isInside = row >= 0 && col >= 0 && row * state.patch < height && col * state.patch < width;
    return { x, y, row, col, isInside };
  }

  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !placeOf(event)) return;
    drag = { x: event.clientX, y: event.clientY, left: state.left, top: state.top, moved: false };
    event.target.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (drag) {
      const x = event.clientX - drag.x, y = event.clientY - drag.y;
      drag.moved ||= Math.hypot(x, y) > 4;
      if (!drag.moved) return;
      stage.classList.add("dragging");
      [state.left, state.top] = [drag.left - x / state.scale, drag.top - y / state.scale];
      keepInside();
      render();
      return;
    }
    const place = placeOf(event);
    if (place && place.isInside && !state.pinned) {
      state.rank = 0;
      setCursor(place.row, place.col);
    }
  });
  stage.addEventListener("pointerup", (event) => {
    const place = placeOf(event);
    if (drag && !drag.moved && place && place.isInside) {
      const isSame = state.pinned && place.row === state.row && place.col === state.col;
      setCursor(place.row, place.col);
      setPinned(!isSame);
    }
    drag = null;
    stage.classList.remove("dragging");
  });
  stage.addEventListener("pointercancel", () => {
    drag = null;
    stage.classList.remove("dragging");
  });
  stage.addEventListener("wheel", (event) => {
    const place = placeOf(event);
    if (!place) return;
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)), place.x, place.y);
  }, { passive: false });
  stage.addEventListener("dblclick", fit);

  function nextModel() {
    const models = [...new Set(data.views.map((view) => view.model_id))];
    const { model_id: modelId, path } = data.views[state.view];
    setView(models[(models.indexOf(modelId) + 1) % models.length], path);
  }

  function otherPath() {
    const { model_id: modelId, path } = data.views[state.view];
    setView(modelId, path === "tta" ? "notta" : "tta");
  }

  const ACTIONS = {
    ArrowUp: (far) => moveCursor(-far, 0),
    ArrowDown: (far) => moveCursor(far, 0),
    ArrowLeft: (far) => moveCursor(0, -far),
    ArrowRight: (far) => moveCursor(0, far),
    Enter: () => setPinned(!state.pinned),
    " ": () => setPinned(!state.pinned),
    Escape: () => setPinned(false),
    "+": () => zoomAtCursor(1.5),
    "=": () => zoomAtCursor(1.5),
    "-": () => zoomAtCursor(1 / 1.5),
    0: fit,
    n: () => goToRank(state.rank + 1),
    p: () => goToRank(state.rank - 1),
    m: nextModel,
    t: otherPath,
    1: () => setPatch(8),
    2: () => setPatch(16),
    3: () => setPatch(32),
    4: () => setPatch(64),
  };
  stage.addEventListener("keydown", (event) => {
    const action = ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action(event.shiftKey ? 10 : 1);
  });

  // ---- controls ---------------------------------------------------------------------

  function addChoice(parent, name, value, label, onChange) {
    const choice = parent.appendChild(document.createElement("label"));
    const input = choice.appendChild(document.createElement("input"));
    Object.assign(input, { type: "radio", name, value });
    input.addEventListener("change", () => onChange(value));
    choice.append(make("span", label));
  }

  function addOptions(select, entries, onChange) {
    for (const [value, label] of entries) select.append(new Option(label, value));
    select.addEventListener("change", () => onChange(select.value));
  }

  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text[element.dataset.text];
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text[element.dataset.label]);
    if (element !== stage) element.title = text[element.dataset.label];
  }
  byId("image").textContent = data.image_id;
  const modelIds = [...new Set(data.views.map((view) => view.model_id))];
  addOptions(byId("model"), modelIds.map((id) => [id, data.views.find((view) => view.model_id === id).label]), (id) => setView(id, data.views[state.view].path));
  addOptions(byId("limit"), data.difference_limits.map((limit) => [limit, `\u00b1${limit} dn`]), (limit) => {
    state.limit = Number(limit);
    refresh();
  });
  for (const path of ["notta", "tta"]) addChoice(byId("paths"), "path", path, text[path], () => setView(data.views[state.view].model_id, path));
  for (const patch of data.patches) addChoice(byId("patches"), "patch", patch, `${patch} px`, setPatch);
  byId("outline").addEventListener("change", (event) => {
    state.outlineAll = event.target.checked;
    render();
  });
  byId("palette").addEventListener("change", (event) => {
    state.palette = event.target.checked ? "safe" : "published";
    refresh();
  });
  byId("in").addEventListener("click", () => zoomAtCursor(1.5));
  byId("out").addEventListener("click", () => zoomAtCursor(1 / 1.5));
  byId("fit").addEventListener("click", fit);
  byId("next").addEventListener("click", () => goToRank(state.rank + 1));
  byId("previous").addEventListener("click", () => goToRank(state.rank - 1));
  fillElement(byId("keys"), ...text.keys.flatMap(([key, means]) => [make("dt", key), make("dd", means)]));

  // ---- start ------------------------------------------------------------------------

  // A fragment opens the page at a patch: #patch=8&row=12&col=30&zoom=4
  const asked = new URLSearchParams(location.hash.slice(1));
  if (data.patches.includes(Number(asked.get("patch")))) state.patch = Number(asked.get("patch"));
  layOut();
  fit();
  if (asked.has("row") && asked.has("col")) {
    setCursor(Number(asked.get("row")) || 0, Number(asked.get("col")) || 0);
    setPinned(true);
    zoomAtCursor(Number(asked.get("zoom")) || 1);
  }
  new ResizeObserver(() => {
    const wasFit = state.scale <= fitScale() * 1.001;
    layOut();
    if (wasFit) fit();
    else zoomBy(1);
  }).observe(stage);
  refresh();
  await loadShown();
  // Ready means drawn: a page that is read at once may never see an animation frame.
  draw();
  document.documentElement.dataset.ready = "yes";
})();
