/* Turns a block of slices in `root`, and cuts it open at the slice that its slider chooses. */
function mountBlock(root) {
  root.dataset.ready = "yes";
  const [turn, slice] = root.querySelectorAll(".av-sliders input");
  const room = root.querySelector(".av-room");
  const slices = [...root.querySelectorAll(".av-slice")];
  const bars = [...root.querySelectorAll(".av-maxima rect")];
  const over = root.querySelector(".av-over");
  const dot = root.querySelector(".av-flat i");

  function draw() {
    for (const input of [turn, slice]) {
      const said = JSON.parse(input.dataset.labels)[input.value];
      input.parentElement.querySelector(".av-value").textContent = said;
      input.setAttribute("aria-valuetext", said);
    }
    const angle = parseInt(JSON.parse(turn.dataset.labels)[turn.value], 10);
    room.firstElementChild.style.setProperty("--turn", `${angle}deg`);
    const chosen = +slice.value;
    slices.forEach((sheet, k) => {
      sheet.classList.toggle("av-chosen", k === chosen);
      sheet.classList.toggle("av-before", k > chosen);
      bars[k].classList.toggle("av-chosen", k === chosen);
    });
    over.src = slices[chosen].querySelector("img").src;
    dot.style.cssText = slices[chosen].querySelector("i").style.cssText;
    over.hidden = dot.hidden = false;
  }

  for (const input of [turn, slice]) {
    input.value = input.dataset.start;
    input.addEventListener("input", draw);
  }
  bars.forEach((bar, k) => {
    bar.addEventListener("click", () => {
      slice.value = k;
      draw();
    });
  });

  // Drag to turn: a step of the slider each 8 pixels.
  let from = null;
  room.addEventListener("pointerdown", (event) => {
    from = { x: event.clientX, value: +turn.value };
    room.setPointerCapture(event.pointerId);
  });
  room.addEventListener("pointermove", (event) => {
    if (!from) return;
    turn.value = from.value + Math.round((event.clientX - from.x) / 8);
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    room.addEventListener(end, () => (from = null));
  }
  draw();
}
