/* Keeps the picture, the sound, the cursor and the truth of one player in step. */
function mountPlayer(root) {
  root.dataset.ready = "yes";
  const data = JSON.parse(root.querySelector(".av-data").textContent);
  const find = (selector) => root.querySelector(selector);
  const audio = find("audio");
  const slider = find(".av-frame");
  const plots = find(".av-plots");
  const times = data.frames ? data.frames.times : [0];
  const moving = times.length > 1;
  let shown = -1;
  let heard = -1;

  function bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  function frameAt(seconds) {
    const later = times.findIndex((time) => time > seconds + 1e-3);
    return later < 0 ? times.length - 1 : Math.max(later - 1, 0);
  }

  function drawPicture(frame) {
    const sheet = find(".av-sheet");
    const canvas = find(".av-picture canvas");
    if (!sheet.complete) {
      sheet.addEventListener("load", () => drawPicture(Math.max(shown, 0)), { once: true });
      return;
    }
    const { width, height } = canvas;
    const [x, y] = [frame % data.frames.across, Math.floor(frame / data.frames.across)];
    const area = [x * width, y * height, width, height];
    canvas.getContext("2d").drawImage(sheet, ...area, 0, 0, width, height);
  }

  function placeTruth(frame) {
    for (const shape of root.querySelectorAll(".av-overlay g")) {
      const { paths, heard } = data.truth[shape.dataset.source];
      for (const path of shape.children) path.setAttribute("d", paths[frame]);
      shape.classList.toggle("av-silent", !heard[frame]);
    }
    for (const tag of root.querySelectorAll(".av-tag")) {
      const { tags, heard } = data.truth[tag.dataset.source];
      const corner = tags[frame];
      tag.hidden = !corner;
      tag.classList.toggle("av-silent", !heard[frame]);
      if (!corner) continue;
      tag.style.left = `${Math.min(corner[0], 0.66) * 100}%`;
      tag.style.top = `${Math.max(corner[1], 0.09) * 100}%`;
    }
  }

  function showFrame(frame) {
    if (!data.frames || frame === shown) return;
    shown = frame;
    drawPicture(frame);
    placeTruth(frame);
    if (!slider) return;
    const words = `${frame + 1} of ${times.length}, ${times[frame].toFixed(2)} s`;
    slider.value = frame;
    slider.setAttribute("aria-valuetext", words);
    slider.parentElement.querySelector(".av-value").textContent = words;
  }

  function showTime(seconds) {
    find(".av-cursor").style.left = `${Math.min(seconds / data.duration, 1) * 100}%`;
    if (moving) showFrame(frameAt(seconds));
  }

  function seek(seconds) {
    audio.currentTime = Math.min(Math.max(seconds, 0), data.duration);
    showTime(seconds);
  }

  function follow() {
    showTime(audio.currentTime);
    if (!audio.paused && root.isConnected) requestAnimationFrame(follow);
  }

  function drawWave(track) {
    const pairs = new Int8Array(bytes(track.wave).buffer);
    const count = pairs.length / 2;
    const svg = find(".av-wave svg");
    svg.setAttribute("viewBox", `0 -130 ${count} 260`);
    let [upper, lower] = ["", ""];
    for (let i = 0; i < count; i += 1) {
      upper += `L${i + 0.5} ${-pairs[2 * i + 1]}`;
      lower = `L${i + 0.5} ${-pairs[2 * i]}` + lower;
    }
    svg.firstElementChild.setAttribute("d", `M0 0${upper}L${count} 0${lower}z`);
  }

  function drawSpectrogram(track) {
    const canvas = find(".av-spec canvas");
    const palette = bytes(data.palette);
    const pixels = new ImageData(data.columns, data.bands);
    track.levels = bytes(track.spec);
    track.levels.forEach((level, i) => {
      pixels.data.set([...palette.subarray(3 * level, 3 * level + 3), 255], 4 * i);
    });
    [canvas.width, canvas.height] = [data.columns, data.bands];
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }

  function choose(number) {
    const track = data.tracks[number];
    if (number === heard || !track) return;
    const first = heard < 0;
    heard = number;
    drawWave(track);
    if (track.spec) drawSpectrogram(track);
    if (first) return;
    const [time, playing] = [audio.currentTime, !audio.paused];
    audio.src = track.src || mix;
    audio.playbackRate = find(".av-slow").checked ? 0.5 : 1;
    audio.currentTime = time;
    if (playing) audio.play().catch(() => {});
    const radio = find(`.av-tracks input[value="${number}"]`);
    if (radio) radio.checked = true;
  }

  function readOut(event) {
    const box = plots.getBoundingClientRect();
    const x = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 0.9999);
    let words = `${(x * data.duration).toFixed(2)} s`;
    const spec = find(".av-spec");
    const area = spec && spec.getBoundingClientRect();
    if (area && event.clientY >= area.top && event.clientY < area.bottom) {
      const band = Math.floor(((event.clientY - area.top) / area.height) * data.bands);
      const level = data.tracks[heard].levels[band * data.columns + Math.floor(x * data.columns)];
      const decibels = Math.round((level / 255 - 1) * data.range);
      words += ` · ${data.hz[data.bands - 1 - band]} Hz · ${decibels} dB`;
    }
    find(".av-readout").textContent = words;
    return x * data.duration;
  }

  function setTruth(visible) {
    root.dataset.truth = visible ? "on" : "off";
    const canvas = find(".av-picture canvas");
    const words = visible ? canvas.dataset.known : canvas.dataset.unknown;
    canvas.setAttribute("aria-label", words);
    if (!visible) choose(0);
  }

  const mix = audio.getAttribute("src");
  choose(0);
  if (data.frames) showFrame(0);
  audio.addEventListener("play", follow);
  for (const name of ["seeking", "timeupdate"]) {
    audio.addEventListener(name, () => showTime(audio.currentTime));
  }
  if (slider) slider.addEventListener("input", () => seek(times[slider.value]));
  for (const radio of root.querySelectorAll(".av-tracks input")) {
    radio.addEventListener("change", () => choose(+radio.value));
  }
  const on = (selector, action) => {
    const box = find(selector);
    if (!box) return;
    box.addEventListener("change", () => action(box.checked));
    action(box.checked);
  };
  on(".av-toggle", setTruth);
  on(".av-loop", (checked) => (audio.loop = checked));
  on(".av-slow", (checked) => (audio.playbackRate = checked ? 0.5 : 1));
  plots.addEventListener("pointermove", readOut);
  plots.addEventListener("pointerleave", () => (find(".av-readout").textContent = ""));
  plots.addEventListener("pointerdown", (event) => seek(readOut(event)));

  // One sound at a time: when another player starts, this one stops.
  const hush = (event) => {
    if (!root.isConnected) document.removeEventListener("play", hush, true);
    else if (event.target !== audio) audio.pause();
  };
  document.addEventListener("play", hush, true);
}
